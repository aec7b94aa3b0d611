import Synchronization
import WireProtocol

/// What a worker counts. Its own thread adds, the monitor reads.
final class Tally: Sendable {
  struct Counts {
    var requests = [Int](repeating: 0, count: Method.allCases.count)
    /// Lines of `session.step`, from sending to the answer's last byte.
    var steps = Histogram()
    /// Sessions in those lines.
    var sessionSteps = 0
    /// Errors that were to be answered, by kind.
    var errorsExpected: [String: Int] = [:]
    /// Drafts compared with the oracle's in all that they say.
    var draftsExact = 0
    /// Drafts held to what any draft must be; those that were compared are among them.
    var draftsStructural = 0
    var sequencesAcknowledged = 0
    /// Acknowledged sequences that were sent again and known.
    var sequencesFoundAgain = 0
    /// Connections that the service had to end, and did.
    var connectionsCut = 0
    /// CPU that the oracle took.
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

  private let counts = Mutex(Counts())

  func note(_ change: (inout Counts) -> Void) { counts.withLock { change(&$0) } }

  /// Takes what was counted since the last time.
  func take() -> Counts {
    counts.withLock { counts in
      let taken = counts
      counts = Counts()
      return taken
    }
  }
}

/// What is common to all workers: what went wrong, and whether they are to end.
final class Journal: Sendable {
  private struct State {
    var failures: [String] = []
    var count = 0
  }

  private let state = Mutex(State())
  private let stopping = Atomic(false)
  /// Says a failure as it comes.
  private let say: @Sendable (String) -> Void

  /// Sentences that are kept; more of them say little more.
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
