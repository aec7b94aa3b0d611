import RepriseModel
import Synchronization

/// The outcome of a draft.
public struct DraftOutcome: Equatable, Sendable {
  /// The tokens of the draft, and the number of them that joined the output.
  public var drafted: Int
  public var accepted: Int
  /// The same by the tokens' probabilities.
  public var calibration: Calibration
}

/// Counts the steps of all sessions over one history.
///
/// Steps are counted without a lock, so that no step waits for a reader of the counters or allocates.
package final class StepCounts: Sendable {
  private let stepCount = Atomic(0)
  private let outputTokenCount = Atomic(0)
  private let verifiedTokenCount = Atomic(0)
  private let acceptedTokenCount = Atomic(0)

  /// Steps in which tokens joined a session's output, and those tokens.
  package var steps: Int { stepCount.load(ordering: .relaxed) }
  package var outputTokens: Int { outputTokenCount.load(ordering: .relaxed) }
  /// Tokens in drafts whose outcome is known, and the number of them that were accepted.
  package var verifiedTokens: Int { verifiedTokenCount.load(ordering: .relaxed) }
  package var acceptedTokens: Int { acceptedTokenCount.load(ordering: .relaxed) }

  func note(outputTokens count: Int, _ outcome: DraftOutcome?) {
    if count == 0 { return }
    stepCount.add(1, ordering: .relaxed)
    outputTokenCount.add(count, ordering: .relaxed)
    guard let outcome else { return }
    verifiedTokenCount.add(outcome.drafted, ordering: .relaxed)
    acceptedTokenCount.add(outcome.accepted, ordering: .relaxed)
  }
}
