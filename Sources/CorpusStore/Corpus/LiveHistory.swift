import SuffixIndex

/// A growing index of the shared history (a memtable, in terms of LSM trees), and the sequences in
/// it.
///
/// A sequence is completely in one part, so that no pattern is cut: a session that began in a part
/// continues in it although newer parts exist, and the part is sealed when all of its sequences are
/// finished.
final class GrowingPart {
  let index: GrowingIndex
  /// Distinguishes cursors into this part from those into another, and from those that were made
  /// before a sequence was removed.
  fileprivate(set) var identity = 0
  /// Finished sequences, in the order in which they finished.
  private(set) var finished: [FinishedSequence] = []
  private(set) var finishedSize = HistorySize()
  /// Sessions whose output grows here. They keep the part alive as well, until they end or move, or
  /// the history is closed.
  var open: [ObjectIdentifier: DecodingSession] = [:]

  /// Memory of a growing index for each token: an upper bound on real output.
  static let bytesPerToken = 80

  init(depth: Int, tokensExpected: Int) {
    index = GrowingIndex(depth: depth, tokensExpected: tokensExpected)
  }

  func finish(_ sequence: FinishedSequence) {
    finished.append(sequence)
    finishedSize += HistorySize(tokens: sequence.tokens, sequences: 1)
  }

  /// Removes a sequence from the list of finished ones. Returns true if it was listed.
  fileprivate func unlist(_ order: UInt64) -> Bool {
    guard let place = finished.firstIndex(where: { $0.order == order }) else { return false }
    let sequence = finished.remove(at: place)
    finishedSize = finishedSize - HistorySize(tokens: sequence.tokens, sequences: 1)
    return true
  }
}

/// The data in memory on a finished sequence that is not sealed yet.
struct FinishedSequence: Equatable {
  var order: UInt64
  var tokens: Int
  var committedSeconds: UInt64
}

/// The data from which a corpus answers. Guarded by the corpus's lock, which is held for
/// microseconds: to draft, to add a few hundred tokens, to replace a view.
final class LiveHistory {
  /// Oldest first; new sequences go to the last.
  private(set) var parts: [GrowingPart]
  /// nil when the corpus is closed.
  private(set) var view: SegmentView?
  var segments: [Segment] { view?.segments ?? [] }
  /// All indexes, in the order of `parts` and then of the view's segments.
  private(set) var indexes: [AnyHistoryIndex] = []
  /// For each index, the identity of its cursors: a cursor is valid as long as its index is listed
  /// with the identity that it had.
  private(set) var identities: [Int] = []
  /// Changes when `indexes` or `identities` do.
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
  func install(_ view: SegmentView, replacing part: GrowingPart?) {
    self.view = view
    if let part { parts.removeAll { $0 === part } }
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

  /// Releases everything, the read transaction included.
  func close() {
    // A session keeps its part and its corpus alive. Without this, those of a dropped corpus would
    // keep each other alive forever.
    for part in parts { part.open = [:] }
    parts = []
    indexes = []
    identities = []
    view = nil
    generation += 1
  }

  /// Removes the last tokens of a sequence, as if they had not been added yet.
  func removeLast(_ count: Int, of tokens: Span<Int32>, from part: GrowingPart) {
    part.index.removeLast(count, of: tokens)
    giveIdentity(to: part)
    listIndexes()
  }

  /// Removes a sequence, which will be deleted, from the list of finished ones.
  ///
  /// - Returns: The part that holds it, or nil.
  func unlist(_ order: UInt64) -> GrowingPart? {
    parts.first { $0.unlist(order) }
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
