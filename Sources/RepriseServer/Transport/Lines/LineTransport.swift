import Concurrency
import Logging
import NIOCore
import WireProtocol

/// The parts that all connections of the line protocol share.
final class LineTransport: Sendable {
  let application: Application
  let logger: Logger
  let connections = ConnectionSet()
  /// Reads long lines on their thread. Nothing else takes its lock.
  private let reader: Locked<RequestReader>
  /// Work of other threads for connections. Its results go to the event loops of the connections,
  /// which must not end before it is done.
  private let elsewhere = CompletionGroup()

  init(_ application: Application, _ logger: Logger) {
    self.application = application
    self.logger = logger
    reader = Locked(RequestReader(limits: application.limits))
  }

  /// Reads a line that would block an event loop for too long.
  ///
  /// - Parameter completion: Called on its event loop.
  func readLong(_ line: Line, _ completion: NIOLoopBound<(RequestLine) -> Void>) {
    let work = workElsewhere()
    application.threads.lines.run { [reader] in
      withExtendedLifetime(work) {
        let line = line.joined()
        let requests = reader.withLock { $0.read(line) }
        completion.eventLoop.execute { completion.value(requests) }
      }
    }
  }

  /// Frees lines that have arrived: freeing megabytes would block an event loop for too long.
  func free(_ lines: consuming LineBuffer) {
    guard lines.count > Service.eventLoopLineBytes else { return }
    // In a box, so that it is freed there, whichever thread releases the closure last.
    let box = Locked(lines)
    application.threads.lines.run { box.withLock { $0 = LineBuffer() } }
  }

  /// Notes work of another thread that will report back, or not: a call may be refused after its
  /// callback was created. The work is over when nothing refers to the result any more.
  func workElsewhere() -> WorkElsewhere { WorkElsewhere(elsewhere) }

  /// Returns when the work of other threads is over. To be called once.
  func finishWorkElsewhere() async { await elsewhere.finish() }
}

/// Work of another thread for a connection; it is over when the last reference is released.
final class WorkElsewhere: Sendable {
  private let group: CompletionGroup

  fileprivate init(_ group: CompletionGroup) {
    self.group = group
    group.enter()
  }

  deinit { group.leave() }
}

extension RequestReader {
  func read(_ line: ByteBuffer) -> RequestLine { read(line.readableBytesSpan) }
}
