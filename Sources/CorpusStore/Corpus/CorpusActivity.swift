import Synchronization

/// What was done to a corpus since it was opened.
public struct CorpusActivity: Equatable, Sendable {
  /// Seconds that each commit took, the synchronisation with the disk included.
  public var commits = Histogram.seconds
  /// Growing parts that became segments, and merges of segments, and tokens in both.
  public var sealings = 0
  public var sealedTokens = 0
  public var merges = 0
  public var mergedTokens = 0
  /// Sequences that left because of a bound.
  public var sequencesRemoved = 0
}

/// `CorpusActivity` as the corpus's threads write it.
final class ActivityLog: Sendable {
  private let activity = Mutex(CorpusActivity())

  var current: CorpusActivity { activity.withLock { $0 } }

  func note(_ change: (inout CorpusActivity) -> Void) { activity.withLock { change(&$0) } }
}
