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

  /// Drafts by estimate from a session's own text and the shared history, or one of them.
  ///
  /// - Parameter local: The end of the session's own text, as `LocalHistory.end` has it.
  mutating func draft(
    from local: (index: AnyHistoryIndex, match: MatchCursor)?, _ shared: [AnyHistoryIndex],
    _ sharedMatches: [MatchCursor],
    _ options: DraftOptions, into draft: inout Draft
  ) {
    indexes.removeAll(keepingCapacity: true)
    matches.removeAll(keepingCapacity: true)
    histories.removeAll(keepingCapacity: true)
    if let local {
      indexes.append(local.index)
      matches.append(local.match)
      histories.append(DraftHistory(.local, indexes: 0..<1))
    }
    histories.append(DraftHistory(.shared, indexes: indexes.count..<indexes.count + shared.count))
    for place in shared.indices {
      indexes.append(shared[place])
      matches.append(sharedMatches[place])
    }
    estimator.draft(from: histories, indexes, matches: matches, options: options, into: &draft)
  }
}
