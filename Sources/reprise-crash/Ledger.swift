import Foundation

/// A sequence of the load. Its first token is its tag: no other sequence has it, and no token after
/// the first is a tag. So what is found in a store can be told apart without an id.
struct Sequence: Codable, Equatable {
  var id: String?
  var tokens: [Int32]

  var tag: Int32 { tokens[0] }

  /// Tags begin here; all other tokens are smaller.
  static let firstTag: Int32 = 1000
}

/// A call that changes something, as it was sent and as it was answered.
struct Call: Codable {
  enum Effect: Codable {
    case create(corpus: String)
    case drop(corpus: String)
    /// Sequences that arrive whole, or the output of a session that closes.
    case add(corpus: String, tags: [Int32])
    case forget(corpus: String, tags: [Int32])
    case createSnapshot(corpus: String, name: String)
    case deleteSnapshot(name: String)
    case restore(name: String, corpus: String)
    case merge(from: String, into: String)
  }

  /// A moment, by three clocks.
  struct Moment: Codable {
    /// Grows by one with every moment of the ledger.
    var clock: Int
    /// Changes of files that were recorded before; 0 where nothing is recorded.
    var position: Int
    /// CLOCK_MONOTONIC.
    var nanoseconds: UInt64
  }

  var effect: Effect
  var sent: Moment
  /// nil while it has not been answered, and for ever when the answer was lost.
  var answered: Moment?
  /// Whether the answer was an error: then nothing was changed.
  var isRefused = false
  /// Order number of the last sequence that was added, as the answer says.
  var lastOrder: UInt64?
}

/// What was sent to a service and what it answered, over all connections.
final class Ledger: @unchecked Sendable {
  // @unchecked Sendable: every stored variable is guarded by `lock`.
  private let lock = NSLock()
  private var clock = 0
  private var sequences: [Int32: Sequence] = [:]
  private var calls: [Call] = []
  private var nextTag = Sequence.firstTag
  private var answers = 0
  private var lastHeard: UInt64 = 0
  private var complaints: [String] = []
  private var refusals: [String: Int] = [:]
  /// Methods that the service does not know.
  private var unknownMethods: Set<String> = []
  /// Is called with the number of answers so far, under the lock.
  var didAnswer: (Int) -> Void = { _ in }
  /// Changes of files that were recorded so far.
  var position: () -> Int = { 0 }

  /// What is known, for the judge.
  struct Record: Codable {
    var sequences: [Int32: Sequence]
    var calls: [Call]
  }

  var record: Record { lock.withLock { Record(sequences: sequences, calls: calls) } }
  /// What the service answered that it must not have.
  var complaintsSoFar: [String] { lock.withLock { complaints } }

  private func now() -> Call.Moment {
    clock += 1
    return Call.Moment(clock: clock, position: position(), nanoseconds: monotonicNanoseconds())
  }

  /// Forgets calls, whose outcome is known by now; sequences stay known.
  func beginRound() {
    lock.withLock {
      calls = []
      answers = 0
    }
  }

  func newTag() -> Int32 {
    lock.withLock {
      nextTag += 1
      return nextTag - 1
    }
  }

  func willSend(_ effect: Call.Effect, _ new: [Sequence] = []) -> Int {
    lock.withLock {
      for sequence in new { sequences[sequence.tag] = sequence }
      calls.append(Call(effect: effect, sent: now()))
      return calls.count - 1
    }
  }

  func wasAnswered(_ call: Int, isRefused: Bool = false, lastOrder: UInt64? = nil) {
    lock.withLock {
      calls[call].answered = now()
      calls[call].isRefused = isRefused
      calls[call].lastOrder = lastOrder
      countAnswer()
    }
  }

  /// An answer that changes nothing, or one that leaves open what has happened.
  func didHear() { lock.withLock { countAnswer() } }

  private func countAnswer() {
    answers += 1
    lastHeard = monotonicNanoseconds()
    didAnswer(answers)
  }

  /// When the last answer came: the service still ran when it sent that.
  var lastAnswer: UInt64 { lock.withLock { lastHeard } }

  var answersSoFar: Int { lock.withLock { answers } }

  func complain(_ sentence: String) { lock.withLock { complaints.append(sentence) } }

  /// An error that was to be expected. Counted by kind and by corpus.
  func wasRefused(_ kind: String, corpus: String?) {
    lock.withLock { refusals["\(kind) \(corpus ?? "")", default: 0] += 1 }
  }

  func takeRefusals() -> [String: Int] {
    lock.withLock {
      defer { refusals = [:] }
      return refusals
    }
  }

  func isKnown(_ method: String) -> Bool { lock.withLock { !unknownMethods.contains(method) } }
  func isUnknown(_ method: String) { lock.withLock { _ = unknownMethods.insert(method) } }
}

func monotonicNanoseconds() -> UInt64 {
  var time = timespec()
  unsafe clock_gettime(CLOCK_MONOTONIC, &time)
  return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}
