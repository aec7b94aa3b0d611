import Foundation

/// A sequence of the load. Its first token is its tag: no other sequence has it, and no later token
/// is a tag. Sequences found in a store can therefore be identified without an id.
struct Sequence: Codable, Equatable {
  var id: String?
  var tokens: [Int32]

  var tag: Int32 { tokens[0] }

  /// The first tag; all other tokens are smaller.
  static let firstTag: Int32 = 1000
}

/// A call that changes something, with its sending and its answer.
struct Call: Codable {
  enum Effect: Codable {
    case create(corpus: String)
    case drop(corpus: String)
    /// Sequences that arrive complete, or the output of a session that closes.
    case add(corpus: String, tags: [Int32])
    case forget(corpus: String, tags: [Int32])
    case createSnapshot(corpus: String, name: String)
    case deleteSnapshot(name: String)
    case restore(name: String, corpus: String)
    case merge(from: String, into: String)
  }

  /// A moment, by three clocks.
  struct Moment: Codable {
    /// Increases by one with every moment of the ledger.
    var clock: Int
    /// The number of file changes recorded before; 0 if nothing is recorded.
    var position: Int
    /// CLOCK_MONOTONIC.
    var nanoseconds: UInt64
  }

  var effect: Effect
  var sent: Moment
  /// nil while it has not been answered, and permanently if the answer was lost.
  var answered: Moment?
  /// True if the answer was an error: then nothing was changed.
  var isRefused = false
  /// Order number of the last sequence that was added, from the answer.
  var lastOrder: UInt64?
}

/// All calls to a service and their answers, over all connections.
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
  /// Called with the number of answers so far, under the lock.
  var didAnswer: (Int) -> Void = { _ in }
  /// Returns the number of file changes recorded so far.
  var position: () -> Int = { 0 }

  /// The data of the ledger, for the judge.
  struct Record: Codable {
    var sequences: [Int32: Sequence]
    var calls: [Call]
  }

  var record: Record { lock.withLock { Record(sequences: sequences, calls: calls) } }
  /// Answers of the service that violate the expectations.
  var complaintsSoFar: [String] { lock.withLock { complaints } }

  private func now() -> Call.Moment {
    clock += 1
    return Call.Moment(clock: clock, position: position(), nanoseconds: monotonicNanoseconds())
  }

  /// Removes calls, whose outcome is known by now; sequences stay known.
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

  /// Notes an answer that changes nothing, or that leaves the outcome open.
  func didHear() { lock.withLock { countAnswer() } }

  private func countAnswer() {
    answers += 1
    lastHeard = monotonicNanoseconds()
    didAnswer(answers)
  }

  /// The time of the last answer: the service still ran when it sent that.
  var lastAnswer: UInt64 { lock.withLock { lastHeard } }

  var answersSoFar: Int { lock.withLock { answers } }

  func complain(_ sentence: String) { lock.withLock { complaints.append(sentence) } }

  /// Notes an expected error. Counted by kind and by corpus.
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
