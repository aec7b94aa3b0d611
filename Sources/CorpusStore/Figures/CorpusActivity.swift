import Concurrency
import HistoryEngine

/// The work done on a corpus since it was opened.
public struct CorpusActivity: Equatable, Sendable {
  /// Seconds that each commit took, including the synchronisation with the disk.
  public var commits = Histogram.seconds
  /// Growing parts that became segments, and merges of segments, and tokens in both.
  public var sealings = 0
  public var sealedTokens = 0
  public var merges = 0
  public var mergedTokens = 0
  /// The number of times that merging was postponed for lack of memory.
  public var mergesDeferred = 0
  /// Sequences that left because of a bound.
  public var sequencesRemoved = 0
  /// Outputs of sessions that were not recorded because they were longer than all that the corpus
  /// keeps.
  public var outputsBeyondRetention = 0
  /// Steps in which tokens joined a session's output, and those tokens.
  public var steps = 0
  public var outputTokens = 0
  /// Tokens in drafts whose outcome is known, and the number of them that were accepted.
  public var verifiedTokens = 0
  public var acceptedTokens = 0
}

/// The counters of `CorpusActivity`, as the corpus's threads update them. Steps are counted by the
/// history (`StepCounts`).
final class ActivityLog: Sendable {
  private let activity = Locked(CorpusActivity())

  func current(with steps: StepCounts) -> CorpusActivity {
    var current = activity.withLock { $0 }
    current.steps = steps.steps
    current.outputTokens = steps.outputTokens
    current.verifiedTokens = steps.verifiedTokens
    current.acceptedTokens = steps.acceptedTokens
    return current
  }

  func note(_ change: (inout CorpusActivity) -> Void) { activity.withLock { change(&$0) } }
}
