import Drafting
import RepriseModel
import SuffixIndex

/// Scratch memory for drafting. Keep one per thread and pass it to every call, which then allocates
/// nothing.
public struct DraftScratch: Sendable {
  var drafter = Drafter()
  var estimator = EstimateDrafter()
  var shared = Draft()
  /// The matches of a context without a session.
  var contextMatches: [MatchCursor] = []
  /// The indexes of all histories that are drafted from together, and the matches in them.
  var matches: [MatchCursor] = []
  var indexes: [AnyHistoryIndex] = []
  var histories: [DraftHistory] = []

  public init() {}

  /// An index that is a history by itself, and the match of a context's end in it.
  typealias End = (index: AnyHistoryIndex, match: MatchCursor)

  /// Drafts by estimate from the histories that there are.
  ///
  /// - Parameters:
  ///   - local: The session's own text, as `LocalHistory.end` has it.
  ///   - group: The session's group, as `GroupHistory.end` has it.
  mutating func draft(
    from local: End?, _ group: End?, _ shared: [AnyHistoryIndex], _ sharedMatches: [MatchCursor],
    _ options: DraftOptions, into draft: inout Draft
  ) {
    indexes.removeAll(keepingCapacity: true)
    matches.removeAll(keepingCapacity: true)
    histories.removeAll(keepingCapacity: true)
    if let local { add(local, .local) }
    if let group { add(group, .group) }
    histories.append(DraftHistory(.shared, indexes: indexes.count..<indexes.count + shared.count))
    for place in shared.indices {
      indexes.append(shared[place])
      matches.append(sharedMatches[place])
    }
    estimator.draft(from: histories, indexes, matches: matches, options: options, into: &draft)
  }

  private mutating func add(_ end: End, _ source: Draft.Source) {
    histories.append(DraftHistory(source, indexes: indexes.count..<indexes.count + 1))
    indexes.append(end.index)
    matches.append(end.match)
  }
}
