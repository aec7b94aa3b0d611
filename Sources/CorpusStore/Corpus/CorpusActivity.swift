import Concurrency
import Synchronization

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

/// The outcome of a draft.
public struct DraftOutcome: Equatable, Sendable {
  /// The tokens of the draft, and the number of them that joined the output.
  public var drafted: Int
  public var accepted: Int
}

/// The counters of `CorpusActivity`, as the corpus's threads update them.
final class ActivityLog: Sendable {
  private let activity = Locked(CorpusActivity())
  // Steps are counted without the lock, so that no step waits for a reader of the counters or
  // allocates.
  private let steps = Atomic(0)
  private let outputTokens = Atomic(0)
  private let verifiedTokens = Atomic(0)
  private let acceptedTokens = Atomic(0)

  var current: CorpusActivity {
    var current = activity.withLock { $0 }
    current.steps = steps.load(ordering: .relaxed)
    current.outputTokens = outputTokens.load(ordering: .relaxed)
    current.verifiedTokens = verifiedTokens.load(ordering: .relaxed)
    current.acceptedTokens = acceptedTokens.load(ordering: .relaxed)
    return current
  }

  func noteStep(outputTokens count: Int, _ outcome: DraftOutcome?) {
    if count == 0 { return }
    steps.add(1, ordering: .relaxed)
    outputTokens.add(count, ordering: .relaxed)
    guard let outcome else { return }
    verifiedTokens.add(outcome.drafted, ordering: .relaxed)
    acceptedTokens.add(outcome.accepted, ordering: .relaxed)
  }

  func note(_ change: (inout CorpusActivity) -> Void) { activity.withLock { change(&$0) } }
}
