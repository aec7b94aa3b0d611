import SuffixIndex

/// A growing index of the shared history, and which sequences stand in it.
///
/// A sequence stands whole in one part, so that no pattern is cut: a session that began in a part
/// goes on in it although newer parts have been begun, and the part is sealed when all of its
/// sequences are finished.
final class GrowingPart {
  let index: GrowingIndex
  /// Tells cursors into one part from those into another, and from those into this one before a
  /// sequence was removed.
  fileprivate(set) var identity = 0
  /// Finished sequences, in the order in which they were.
  private(set) var finished: [FinishedSequence] = []
  private(set) var finishedSize = HistorySize()
  /// Sessions whose output grows here. They keep the part as well, until they end or are moved, or the
  /// history is closed.
  var open: [ObjectIdentifier: DecodingSession] = [:]

  /// Memory that a growing index takes for a token, at most, on real output.
  static let bytesPerToken = 80

  init(depth: Int, tokensExpected: Int) {
    index = GrowingIndex(depth: depth, tokensExpected: tokensExpected)
  }

  func finish(_ sequence: FinishedSequence) {
    finished.append(sequence)
    finishedSize += HistorySize(tokens: sequence.tokens, sequences: 1)
  }

  /// Takes a sequence off the list of finished ones. Returns whether it stood there.
  fileprivate func unlist(_ order: UInt64) -> Bool {
    guard let place = finished.firstIndex(where: { $0.order == order }) else { return false }
    let sequence = finished.remove(at: place)
    finishedSize = finishedSize - HistorySize(tokens: sequence.tokens, sequences: 1)
    return true
  }
}

/// What is known in memory of a finished sequence that is not sealed yet.
struct FinishedSequence: Equatable {
  var order: UInt64
  var tokens: Int
  var committedSeconds: UInt64
}

/// What a corpus answers from. Guarded by the corpus's lock, which is held for microseconds: to
/// draft, to add a few hundred tokens, to swap a view.
final class LiveHistory {
  /// Oldest first; new sequences go to the last.
  private(set) var parts: [GrowingPart]
  /// nil when the corpus is closed.
  private(set) var view: SegmentView?
  var segments: [Segment] { view?.segments ?? [] }
  /// All indexes, in the order of `parts` and then of the view's segments.
  private(set) var indexes: [AnyHistoryIndex] = []
  /// For each index, what its cursors are known by: a cursor is good as long as its index is listed
  /// with the identity that it had.
  private(set) var identities: [Int] = []
  /// Changes when `indexes` or `identities` do.
  private(set) var generation = 0
  private var identityNext = 0
  /// Set when an index of these is found damaged while it is read.
  private(set) var mark: DamageMark

  var current: GrowingPart { parts[parts.count - 1] }

  init(parts: [GrowingPart], view: SegmentView, mark: DamageMark) {
    self.parts = parts
    self.view = view
    self.mark = mark
    for part in parts { giveIdentity(to: part) }
    listIndexes()
  }

  /// A new one, which no index ever had.
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
  func install(_ view: SegmentView, replacing part: GrowingPart?) {
    self.view = view
    if let part { parts.removeAll { $0 === part } }
    listIndexes()
  }

  /// Goes on where another history ends, for those who have cursors into that one: no index here
  /// has an identity that one there had.
  func follow(_ old: LiveHistory?) {
    guard let old else { return }
    generation = old.generation
    identityNext = old.identityNext
    for part in parts { giveIdentity(to: part) }
    segmentIdentityBase = old.segmentIdentityBase + old.segmentNumberBound
    listIndexes()
  }

  /// Lets go of everything, the read transaction among it.
  func close() {
    // A session keeps its part and its corpus. Without this, those of a corpus that was dropped would
    // keep each other for ever.
    for part in parts { part.open = [:] }
    parts = []
    indexes = []
    identities = []
    view = nil
    generation += 1
  }

  /// Takes the last tokens of a sequence out, as if they had not been added yet.
  func removeLast(_ count: Int, of tokens: Span<Int32>, from part: GrowingPart) {
    part.index.removeLast(count, of: tokens)
    giveIdentity(to: part)
    listIndexes()
  }

  /// Takes a sequence that will be removed off the list of finished ones.
  ///
  /// - Returns: The part that it stands in, or nil.
  func unlist(_ order: UInt64) -> GrowingPart? {
    parts.first { $0.unlist(order) }
  }

  /// Finished sequences, sealed or not.
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

  /// Added to the numbers of segments, and more than any of them.
  private var segmentIdentityBase = 0
  private var segmentNumberBound = 1
}
