import Concurrency
import RepriseModel
import StoreErrors

/// The sequences of a corpus that were acknowledged and are not on disk yet, as others see them.
final class UnsavedSequences: Sendable {
  private struct State {
    var sequences = 0
    /// The time at which the oldest of them was acknowledged.
    var since: ContinuousClock.Instant?
  }

  private let corpus: CorpusName
  private let durability: Durability
  private let conditions: StandingConditions
  private let state = Locked(State())

  init(of corpus: CorpusName, _ durability: Durability, _ conditions: StandingConditions) {
    self.corpus = corpus
    self.durability = durability
    self.conditions = conditions
  }

  var current: (sequences: Int, since: ContinuousClock.Instant?) {
    state.withLock { ($0.sequences, $0.since) }
  }

  func note(sequences: Int, since: ContinuousClock.Instant?) {
    state.withLock { $0 = State(sequences: sequences, since: since) }
  }

  /// Raises or clears the condition of sequences that cannot be saved.
  func noteSaving(failure: StoreError?) {
    guard let failure else { return conditions.clear(.saving, corpus: corpus) }
    conditions.raise(
      .saving, corpus: corpus,
      cause:
        "\(current.sequences) acknowledged sequences are not on disk yet, and no others are taken: "
        + "\(failure)",
      tolerated: durability.failureTolerated)
  }

  /// A sentence for the log on sequences that are lost with the process; nil if there are none.
  func report(cause: StoreError?) -> String? {
    let sequences = current.sequences
    if sequences == 0 { return nil }
    return
      "\(sequences) acknowledged sequences of corpus \(corpus) are not on disk and are lost"
      + (cause.map { ": \($0)" } ?? "")
  }
}

extension Durability {
  /// The time for which writing may fail before the service is no longer ready: far longer than the
  /// window, and long enough for a disk that is slow for a moment.
  fileprivate var failureTolerated: Duration {
    switch self {
    case .commit: .zero
    case .interval(let millis): max(.seconds(5), .milliseconds(millis) * 10)
    }
  }
}
