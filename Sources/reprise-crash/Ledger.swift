import Concurrency
import RepriseModel
import TestSupport

/// A sequence of the load. The first token of its output is its tag: no other sequence has it, and no
/// later token is a tag. Sequences found in a store can therefore be identified without an id.
struct Sequence: Codable, Equatable {
  var id: String?
  /// The tokens of its prompt. They are no tags.
  var prompt: [Int32] = []
  var output: [Int32]

  var tag: Int32 { output[0] }
  /// The end of the prompt that is kept.
  var leadIn: [Int32] { prompt.suffix(LeadIn.standard) }
  /// All tokens that are kept.
  var text: [Int32] { leadIn + output }

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
final class Ledger: Sendable {
  private struct State {
    var clock = 0
    var sequences: [Int32: Sequence] = [:]
    var calls: [Call] = []
    var nextTag = Sequence.firstTag
    var answers = 0
    var lastAnswer: UInt64 = 0
    var complaints: [String] = []
    var refusals: [String: Int] = [:]
    /// Methods that the service does not know.
    var unknownMethods: Set<String> = []
    var didAnswer: @Sendable (Int) -> Void = { _ in }
    var position: @Sendable () -> Int = { 0 }

    mutating func now() -> Call.Moment {
      clock += 1
      return Call.Moment(clock: clock, position: position(), nanoseconds: UInt64(nanoseconds()))
    }

    mutating func countAnswer() {
      answers += 1
      lastAnswer = UInt64(nanoseconds())
      didAnswer(answers)
    }
  }

  private let state = Locked(State())

  /// Sets a function that is called after each answer, under the lock, with the number of answers so far.
  func whenAnswered(_ body: @escaping @Sendable (Int) -> Void) {
    state.withLock { $0.didAnswer = body }
  }

  /// Sets the function that returns the number of file changes recorded so far.
  func setPosition(_ body: @escaping @Sendable () -> Int) { state.withLock { $0.position = body } }

  /// The data of the ledger, for the judge.
  struct Record: Codable {
    var sequences: [Int32: Sequence]
    var calls: [Call]
  }

  var record: Record { state.withLock { Record(sequences: $0.sequences, calls: $0.calls) } }
  /// Answers of the service that violate the expectations.
  var complaintsSoFar: [String] { state.withLock { $0.complaints } }

  /// Removes calls, whose outcome is known by now; sequences stay known.
  func beginRound() {
    state.withLock { state in
      state.calls = []
      state.answers = 0
    }
  }

  func newTag() -> Int32 {
    state.withLock { state in
      state.nextTag += 1
      return state.nextTag - 1
    }
  }

  func willSend(_ effect: Call.Effect, _ new: [Sequence] = []) -> Int {
    state.withLock { state in
      for sequence in new { state.sequences[sequence.tag] = sequence }
      state.calls.append(Call(effect: effect, sent: state.now()))
      return state.calls.count - 1
    }
  }

  func wasAnswered(_ call: Int, isRefused: Bool = false, lastOrder: UInt64? = nil) {
    state.withLock { state in
      state.calls[call].answered = state.now()
      state.calls[call].isRefused = isRefused
      state.calls[call].lastOrder = lastOrder
      state.countAnswer()
    }
  }

  /// Notes an answer that changes nothing, or that leaves the outcome open.
  func didHear() { state.withLock { $0.countAnswer() } }

  /// The time of the last answer: the service still ran when it sent that.
  var lastAnswer: UInt64 { state.withLock { $0.lastAnswer } }

  var answersSoFar: Int { state.withLock { $0.answers } }

  func complain(_ sentence: String) { state.withLock { $0.complaints.append(sentence) } }

  /// Notes an expected error. Counted by kind and by corpus.
  func wasRefused(_ kind: String, corpus: String?) {
    state.withLock { $0.refusals["\(kind) \(corpus ?? "")", default: 0] += 1 }
  }

  func takeRefusals() -> [String: Int] {
    state.withLock { state in
      defer { state.refusals = [:] }
      return state.refusals
    }
  }

  func isKnown(_ method: String) -> Bool { state.withLock { !$0.unknownMethods.contains(method) } }
  func isUnknown(_ method: String) { state.withLock { _ = $0.unknownMethods.insert(method) } }
}
