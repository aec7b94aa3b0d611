import Concurrency
import NIOCore
import WireProtocol

/// The identification of an answer.
struct Ticket {
  /// The place of an answer: nil for a line of its own.
  typealias Place = (batch: BatchAnswers, position: Int)?

  /// nil for a notification, which has no answer.
  var id: RequestID?
  var place: Place
  /// The method of the request and its start; nil if it could not be read.
  var method: Method?
  var began = NIODeadline.now()
}

/// Answers that other threads have delivered, in order. Those of a thousand inserts arrive at once.
final class ArrivedAnswers: Sendable {
  typealias Answer = (ticket: NIOLoopBound<Ticket>, result: Result<any WireResult, WireError>)

  private let answers = Locked(CircularBuffer<Answer>())

  /// Adds an answer. Returns true if it is the first, so that the receiver must be notified.
  func add(_ answer: Answer) -> Bool {
    answers.withLock { answers in
      answers.append(answer)
      return answers.count == 1
    }
  }

  func next() -> Answer? { answers.withLock { $0.popFirst() } }
}
