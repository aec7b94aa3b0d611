import Concurrency
import Synchronization
import ToolSupport
import WireProtocol

/// A worker's counts. Its own thread adds, the monitor reads.
final class Tally: Sendable {
  struct Counts {
    var requests = [Int](repeating: 0, count: Method.allCases.count)
    /// Durations of `session.step` lines, from sending to the answer's last byte.
    var steps = Latencies()
    /// Sessions in those lines.
    var sessionSteps = 0
    /// Expected errors, by kind.
    var errorsExpected: [String: Int] = [:]
    /// Drafts that were compared with the oracle's in every field.
    var draftsExact = 0
    /// Drafts checked for general validity, including those that were compared.
    var draftsStructural = 0
    var sequencesAcknowledged = 0
    /// Acknowledged sequences that were sent again and recognised.
    var sequencesFoundAgain = 0
    /// Connections that the service had to end, and did.
    var connectionsCut = 0
    /// CPU time of the oracle.
    var oracleNanoseconds = 0

    mutating func add(_ other: Counts) {
      for place in requests.indices { requests[place] += other.requests[place] }
      steps.add(other.steps)
      sessionSteps += other.sessionSteps
      errorsExpected.merge(other.errorsExpected, uniquingKeysWith: +)
      draftsExact += other.draftsExact
      draftsStructural += other.draftsStructural
      sequencesAcknowledged += other.sequencesAcknowledged
      sequencesFoundAgain += other.sequencesFoundAgain
      connectionsCut += other.connectionsCut
      oracleNanoseconds += other.oracleNanoseconds
    }
  }

  private let counts = Locked(Counts())

  func note(_ change: (inout Counts) -> Void) { counts.withLock { change(&$0) } }

  /// Returns the counts since the last call, and sets them to zero.
  func take() -> Counts {
    counts.withLock { counts in
      let taken = counts
      counts = Counts()
      return taken
    }
  }
}

/// State common to all workers: the failures, and whether they should end.
final class Journal: Sendable {
  private struct State {
    var failures: [String] = []
    var count = 0
  }

  private let state = Locked(State())
  private let stopping = Atomic(false)
  /// Prints a failure as it occurs.
  private let say: @Sendable (String) -> Void

  /// The most sentences that are kept; more would add little.
  private static let failuresMax = 50

  init(say: @escaping @Sendable (String) -> Void) { self.say = say }

  func fail(_ sentence: String) {
    let isSaid = state.withLock { state in
      state.count += 1
      if state.failures.count >= Self.failuresMax { return false }
      state.failures.append(sentence)
      return true
    }
    if isSaid { say("WRONG  \(sentence)") }
  }

  var failures: Int { state.withLock { $0.count } }

  func stop() { stopping.store(true, ordering: .relaxed) }
  var isStopping: Bool { stopping.load(ordering: .relaxed) }
}
