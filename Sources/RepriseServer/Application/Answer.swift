import Concurrency
import NIOCore
import WireProtocol

/// The answer of a call, as its handler returns it.
///
/// Every answer is written by the same call, `write`, which tells what is still to come: nothing; the
/// rest of the drafts, in the caller's next quantum; or the whole result, from another thread, after
/// which the answer is a `result` like any other.
package enum Answer {
  /// The result is known.
  case result(any WireResult)
  /// Drafts, which are computed while they are written.
  case drafts(DraftRun)
  /// Another thread will give the result.
  case later(LaterResult)

  /// The progress of writing an answer.
  package enum Progress {
    /// All members of the result are written.
    case complete
    /// The quantum is over. Until the rest is written, no other request of the caller may begin, so
    /// that calls are carried out in their order.
    case interrupted
    /// Nothing is written: the result is to be requested.
    case awaited(LaterResult)
  }

  /// Writes members of the result, until they are complete or the quantum is over.
  ///
  /// - Parameters:
  ///   - writer: Receives the members, over all quanta.
  ///   - quantumEnds: The end of the caller's quantum, after which others are served first.
  package mutating func write(
    to writer: inout JSONWriter, for caller: inout Caller, until quantumEnds: NIODeadline
  ) throws(WireError) -> Progress {
    switch self {
    case .result(let result):
      result.write(to: &writer)
      return .complete
    case .drafts(var run):
      if try run.write(to: &writer, for: &caller, until: quantumEnds) { return .complete }
      self = .drafts(run)
      return .interrupted
    case .later(let result): return .awaited(result)
    }
  }

  /// An answer whose result `body` produces on the thread of a queue.
  static func later(
    on queue: WorkQueue, _ body: @escaping @Sendable () throws(WireError) -> any WireResult
  ) -> Answer {
    .later(
      LaterResult { completion in
        queue.run {
          do throws(WireError) {
            completion(.success(try body()))
          } catch {
            completion(.failure(error))
          }
        }
      })
  }
}

/// A result that another thread gives when it is requested.
package struct LaterResult {
  /// Receives the result.
  package typealias Completion = @Sendable (Result<any WireResult, WireError>) -> Void

  private let begin: (@escaping Completion) -> Void

  /// - Parameter begin: Begins the work.
  init(_ begin: @escaping (@escaping Completion) -> Void) {
    self.begin = begin
  }

  /// Begins the work. To be called once.
  ///
  /// - Parameter completion: Called once, on any thread, possibly before this returns; or never, if
  ///   the service stops before the work has begun.
  package func request(_ completion: @escaping Completion) { begin(completion) }
}
