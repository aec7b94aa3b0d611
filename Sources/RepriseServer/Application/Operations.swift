import Concurrency
import Logging
import NIOCore
import RepriseModel
import WireProtocol

/// Carries out the calls of operators, which read or rewrite whole corpora and take seconds to
/// minutes: one after the other, on a thread with low priority. Each leaves one line in the log.
struct Operations: Sendable {
  private let queue: WorkQueue
  private let logger: Logger
  private let current = Locked<String?>(nil)

  init(_ queue: WorkQueue, _ logger: Logger) {
    self.queue = queue
    self.logger = logger
  }

  /// The call that is being carried out, as the log names it when it is done; nil if there is none.
  var underWay: String? { current.withLock { $0 } }

  /// An answer that is given when a call has been carried out.
  ///
  /// - Parameters:
  ///   - metadata: The fields of the log line that are known before.
  ///   - body: Carries the call out, and adds fields to the line.
  func answer(
    _ what: Logger.Message, level: Logger.Level = .notice, _ metadata: Logger.Metadata = [:],
    _ body: @escaping @Sendable (inout Logger.Metadata) throws(WireError) -> any WireResult
  ) -> Answer {
    .later(
      LaterResult { [self] completion in
        queue.run {
          completion(carryOut(what, level, metadata, body))
        } dropped: {
          completion(.failure(.stopping))
        }
      })
  }

  /// Completes the call that is being carried out, and refuses those that wait.
  func stop() async { await queue.stop() }

  private func carryOut(
    _ what: Logger.Message, _ level: Logger.Level, _ metadata: Logger.Metadata,
    _ body: (inout Logger.Metadata) throws(WireError) -> any WireResult
  ) -> Result<any WireResult, WireError> {
    let start = NIODeadline.now()
    current.withLock { $0 = "\(what)" }
    defer { current.withLock { $0 = nil } }
    var line = metadata
    let result: Result<any WireResult, WireError>
    do throws(WireError) {
      result = .success(try body(&line))
    } catch {
      result = .failure(error)
    }
    line["seconds"] = "\(Double((NIODeadline.now() - start).nanoseconds / 1_000_000) / 1000)"
    switch result {
    case .success: logger.log(level: level, what, metadata: line)
    case .failure(let error):
      line["error"] = "\(error)"
      logger.warning("not done: \(what)", metadata: line)
    }
    return result
  }
}

extension WireError {
  fileprivate static let stopping = WireError(
    .busy, "the service is stopping and begins no long work; send again when it is back",
    ["retry_after_ms": .number(1000)])
}
