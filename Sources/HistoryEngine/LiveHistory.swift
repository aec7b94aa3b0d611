import RepriseModel
import SuffixIndex

/// The data from which a corpus answers: growing parts and segments. Guarded by the lock of its
/// `SharedHistory`, which is held for microseconds: to draft, to add a few hundred tokens, to replace
/// segments.
package final class LiveHistory {
  /// Oldest first; new sequences go to the last.
  private(set) var parts: [GrowingPart]
  private(set) var source: any SegmentSource
  private(set) var segments: [HistorySegment]
  /// All indexes, in the order of `parts` and then of `segments`.
  private(set) var indexes: [AnyHistoryIndex] = []
  /// For each index, the identity of its cursors: a cursor is valid as long as its index is listed
  /// with the identity that it had.
  private(set) var identities: [Int] = []
  /// The number of this view: it changes when `indexes` or `identities` change.
  private(set) var generation = 0
  private var identityNext = 0
  /// Set when one of these indexes is found damaged during reading.
  let mark: DamageMark

  var current: GrowingPart { parts[parts.count - 1] }

  /// - Parameters:
  ///   - parts: At least one, oldest first.
  ///   - mark: The mark of all indexes of the source.
  package init(parts: [GrowingPart], source: any SegmentSource, mark: DamageMark) {
    self.parts = parts
    self.source = source
    segments = source.historySegments
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

  /// Replaces the source by one of the same segments, read at a later moment.
  func renew(_ source: any SegmentSource) {
    self.source = source
  }

  /// Replaces the source by one of other segments, and drops the part that one of them replaces.
  ///
  /// - Returns: The part, which is not in the history any more.
  func install(_ source: any SegmentSource, replacing part: GrowingPart.ID?) -> GrowingPart? {
    self.source = source
    segments = source.historySegments
    let retired = parts.firstIndex { $0.id == part }.map { parts.remove(at: $0) }
    listIndexes()
    return retired
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
    /// The number of the session's tokens there, counted from the lead-in's first.
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

  /// Adds the end of a session's lead-in and output to the part that holds their beginning, or all of
  /// them to the newest part if there is none.
  func extend(_ session: DecodingSession, at standing: Standing?, to text: Span<Int32>) {
    if let standing {
      standing.part.open.values[standing.place].extend(in: standing.part.index, to: text)
    } else {
      var new = OpenOutput(session: session)
      new.extend(in: current.index, to: text)
      current.open[ObjectIdentifier(session)] = new
    }
  }

  /// Notes that the output of a session is now a finished sequence, if the history holds it.
  func finish(_ session: DecodingSession, as sequence: FinishedSequence, _ text: Span<Int32>) {
    guard let standing = standing(of: session) else { return }
    extend(session, at: standing, to: text)
    standing.part.open[ObjectIdentifier(session)] = nil
    standing.part.finish(sequence)
  }

  /// Removes the last tokens of a session's lead-in and output.
  func removeLast(_ count: Int, of tokens: Span<Int32>, from session: DecodingSession) {
    guard let part = standing(of: session)?.part else { return }
    removeLast(count, of: tokens, from: part)
    if count == tokens.count { part.open[ObjectIdentifier(session)] = nil }
  }

  /// Moves a session's output to the newest part, so that an older one can be sealed. Possibly no part
  /// holds it, because this history has replaced another one.
  ///
  /// - Returns: False if the newest part holds it already.
  func moveToCurrentPart(_ session: DecodingSession, _ text: Span<Int32>) -> Bool {
    if let old = standing(of: session) {
      if old.part === current { return false }
      removeLast(old.tokens, of: text.extracting(0..<old.tokens), from: old.part)
      old.part.open[ObjectIdentifier(session)] = nil
    }
    extend(session, at: nil, to: text)
    return true
  }

  /// The size of all finished sequences, sealed or not.
  var size: HistorySize {
    var size = HistorySize()
    for segment in segments { size += segment.size }
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
