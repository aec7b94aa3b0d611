import SuffixIndex

/// A growing index of the shared history (a memtable, in terms of LSM trees), and the sequences in
/// it.
///
/// A sequence is completely in one part, so that no pattern is cut: a session that began in a part
/// continues in it although newer parts exist, and the part is sealed when all of its sequences are
/// finished.
final class GrowingPart {
  /// The name of a part outside of the corpus's lock, as long as it is listed.
  typealias ID = ObjectIdentifier
  var id: ID { ID(self) }

  let index: GrowingIndex
  /// Distinguishes cursors into this part from those into another, and from those that were made
  /// before a sequence was removed.
  fileprivate(set) var identity = 0
  /// Finished sequences, in the order in which they finished.
  private(set) var finished: [FinishedSequence] = []
  private(set) var finishedSize = HistorySize()
  /// The lowest and the highest of their order numbers.
  private(set) var orders: ClosedRange<UInt64>?
  /// Outputs that grow here, by their sessions, until these end or move, or the history is closed.
  fileprivate(set) var open: [ObjectIdentifier: OpenOutput] = [:]

  /// Memory of a growing index for each token: an upper bound on real output.
  static let bytesPerToken = 80

  init(depth: Int, tokensExpected: Int) {
    index = GrowingIndex(depth: depth, tokensExpected: tokensExpected)
  }

  func finish(_ sequence: FinishedSequence) {
    finished.append(sequence)
    finishedSize += HistorySize(tokens: sequence.tokens, sequences: 1)
    extendOrders(by: sequence.order)
  }

  private func extendOrders(by order: UInt64) {
    orders = min(orders?.lowerBound ?? order, order)...max(orders?.upperBound ?? order, order)
  }

  /// Removes a sequence from the list of finished ones. Returns true if it was listed.
  fileprivate func unlist(_ order: UInt64) -> Bool {
    guard let place = finished.firstIndex(where: { $0.order == order }) else { return false }
    let sequence = finished.remove(at: place)
    finishedSize = finishedSize - HistorySize(tokens: sequence.tokens, sequences: 1)
    if order == orders?.lowerBound || order == orders?.upperBound {
      orders = nil
      for sequence in finished { extendOrders(by: sequence.order) }
    }
    return true
  }
}

/// The output of an open session, as far as a growing index holds it.
struct OpenOutput {
  let session: DecodingSession
  /// Tokens of the output in the index, counted from the first: fewer than the output has if the
  /// corpus could not be read.
  fileprivate(set) var tokens = 0
  private var tail = GrowingIndex.Tail()

  fileprivate init(session: DecodingSession) {
    self.session = session
  }

  fileprivate mutating func extend(in index: GrowingIndex, to output: Span<Int32>) {
    index.extend(&tail, by: output.extracting(tokens..<output.count))
    tokens = output.count
  }
}

/// The data in memory on a finished sequence that is not sealed yet.
struct FinishedSequence: Equatable, Sendable {
  var order: UInt64
  var tokens: Int
  var committedSeconds: UInt64
}

/// The data from which a corpus answers. Guarded by the corpus's lock, which is held for
/// microseconds: to draft, to add a few hundred tokens, to replace a view.
final class LiveHistory {
  /// Oldest first; new sequences go to the last.
  private(set) var parts: [GrowingPart]
  private(set) var view: SegmentView
  var segments: [Segment] { view.segments }
  /// All indexes, in the order of `parts` and then of the view's segments.
  private(set) var indexes: [AnyHistoryIndex] = []
  /// For each index, the identity of its cursors: a cursor is valid as long as its index is listed
  /// with the identity that it had.
  private(set) var identities: [Int] = []
  /// The number of this view: it changes when `indexes` or `identities` change.
  private(set) var generation = 0
  private var identityNext = 0
  /// Set when one of these indexes is found damaged during reading.
  private(set) var mark: DamageMark

  var current: GrowingPart { parts[parts.count - 1] }

  init(parts: [GrowingPart], view: SegmentView, mark: DamageMark) {
    self.parts = parts
    self.view = view
    self.mark = mark
    for part in parts { giveIdentity(to: part) }
    listIndexes()
  }

  /// Gives the part an identity that no index has had.
  private func giveIdentity(to part: GrowingPart) {
    identityNext += 1
    part.identity = -identityNext
  }

  /// Begins a new part; the ones before can be sealed when their sequences are finished.
  func begin(_ part: GrowingPart) {
    giveIdentity(to: part)
    parts.append(part)
    listIndexes()
  }

  /// Replaces the view by one of the same segments, read at a later moment.
  func renew(_ view: SegmentView) {
    self.view = view
  }

  /// Replaces the view by one of other segments, and drops the part that one of them replaces.
  func install(_ view: SegmentView, replacing part: GrowingPart.ID?) {
    self.view = view
    if let part { parts.removeAll { $0.id == part } }
    listIndexes()
  }

  /// Continues from another history, whose cursors some sessions hold: no index here gets an
  /// identity that one there had.
  func follow(_ old: LiveHistory?) {
    guard let old else { return }
    generation = old.generation
    identityNext = old.identityNext
    for part in parts { giveIdentity(to: part) }
    segmentIdentityBase = old.segmentIdentityBase + old.segmentNumberBound
    listIndexes()
  }

  private func removeLast(_ count: Int, of tokens: Span<Int32>, from part: GrowingPart) {
    part.index.removeLast(count, of: tokens)
    giveIdentity(to: part)
    listIndexes()
  }

  /// Removes a sequence, which will be deleted, from the list of finished ones.
  ///
  /// - Returns: The part that holds it, or nil.
  func unlist(_ order: UInt64) -> GrowingPart.ID? {
    parts.first { $0.unlist(order) }?.id
  }

  /// Removes the last tokens of a sequence, as if they had not been added yet.
  func removeLast(_ count: Int, of tokens: Span<Int32>, from part: GrowingPart.ID) {
    guard let part = parts.first(where: { $0.id == part }) else { return }
    removeLast(count, of: tokens, from: part)
  }

  // MARK: Outputs of open sessions

  /// The place of a session's output. It is valid until the history changes.
  struct Standing {
    fileprivate let part: GrowingPart
    fileprivate let place: Dictionary<ObjectIdentifier, OpenOutput>.Index
    /// The number of output tokens there, counted from the first.
    let tokens: Int
  }

  /// The sessions whose output is in a part.
  var openSessions: [DecodingSession] { parts.flatMap { $0.open.values.map(\.session) } }

  /// - Returns: nil if no part holds the output.
  func standing(of session: DecodingSession) -> Standing? {
    for part in parts.reversed() {
      if let place = part.open.index(forKey: ObjectIdentifier(session)) {
        return Standing(part: part, place: place, tokens: part.open[place].value.tokens)
      }
    }
    return nil
  }

  /// Adds the end of a session's output to the part that holds its beginning, or all of it to the
  /// newest part if there is none.
  func extend(_ session: DecodingSession, at standing: Standing?, to output: Span<Int32>) {
    if let standing {
      standing.part.open.values[standing.place].extend(in: standing.part.index, to: output)
    } else {
      var new = OpenOutput(session: session)
      new.extend(in: current.index, to: output)
      current.open[ObjectIdentifier(session)] = new
    }
  }

  /// Notes that the output of a session is now a finished sequence, if the history holds it.
  func finish(_ session: DecodingSession, as sequence: FinishedSequence, _ output: Span<Int32>) {
    guard let standing = standing(of: session) else { return }
    extend(session, at: standing, to: output)
    standing.part.open[ObjectIdentifier(session)] = nil
    standing.part.finish(sequence)
  }

  /// Removes the last tokens of a session's output.
  func removeLast(_ count: Int, of tokens: Span<Int32>, from session: DecodingSession) {
    guard let part = standing(of: session)?.part else { return }
    removeLast(count, of: tokens, from: part)
    if count == tokens.count { part.open[ObjectIdentifier(session)] = nil }
  }

  /// Moves a session's output to the newest part, so that an older one can be sealed. No part may hold
  /// it, because this history has replaced another one.
  ///
  /// - Returns: False if the newest part holds it already.
  func moveToCurrentPart(_ session: DecodingSession, _ output: Span<Int32>) -> Bool {
    if let old = standing(of: session) {
      if old.part === current { return false }
      removeLast(old.tokens, of: output.extracting(0..<old.tokens), from: old.part)
      old.part.open[ObjectIdentifier(session)] = nil
    }
    extend(session, at: nil, to: output)
    return true
  }

  /// The size of all finished sequences, sealed or not.
  var size: HistorySize {
    var size = HistorySize()
    for segment in segments {
      size += HistorySize(tokens: segment.record.tokens, sequences: segment.record.sequences)
    }
    for part in parts { size += part.finishedSize }
    return size
  }

  private func listIndexes() {
    indexes = parts.map { .growing($0.index.reader) }
    indexes += segments.map { .sealed($0.index.reader) }
    // Segment numbers are positive and never used again in one file.
    identities = parts.map(\.identity) + segments.map { segmentIdentityBase + Int($0.number) }
    segmentNumberBound = max(segmentNumberBound, (segments.last.map { Int($0.number) } ?? 0) + 1)
    generation += 1
  }

  /// Added to the numbers of segments; larger than any earlier identity.
  private var segmentIdentityBase = 0
  private var segmentNumberBound = 1
}
