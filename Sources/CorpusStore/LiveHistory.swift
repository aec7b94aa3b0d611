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
  /// Committed sequences, by order number.
  var finished: [UInt64] = []
  var finishedTokens = 0
  /// Sessions whose output grows here.
  var open: [ObjectIdentifier: DecodingSession] = [:]

  init(depth: Int, tokensExpected: Int) {
    index = GrowingIndex(depth: depth, tokensExpected: tokensExpected)
  }
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

  var current: GrowingPart { parts[parts.count - 1] }

  init(parts: [GrowingPart], view: SegmentView) {
    self.parts = parts
    self.view = view
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

  /// Lets go of everything, the read transaction among it.
  func close() {
    parts = []
    indexes = []
    identities = []
    view = nil
    generation += 1
  }

  /// Takes an open sequence out again, as if it had never been.
  func remove(_ tokens: Span<Int32>, from part: GrowingPart) {
    part.index.remove(tokens)
    giveIdentity(to: part)
    listIndexes()
  }

  private func listIndexes() {
    indexes = parts.map { .growing($0.index.reader) }
    indexes += segments.map { .sealed($0.index.reader) }
    // Segment numbers are positive and never used again.
    identities = parts.map(\.identity) + segments.map { Int($0.number) }
    generation += 1
  }
}
