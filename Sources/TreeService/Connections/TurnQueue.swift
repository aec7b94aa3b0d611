import NIOCore

/// Who of one event loop's connections has more to do than fits into its turn, in order.
///
/// Between two turns the event loop looks at its sockets, so that a request which takes no turn of its
/// own waits for one turn at most, however many wait here. NIO runs all tasks that are due before it
/// does that, also those that tasks add; so turns are not tasks that are due at once, and only one
/// task stands for all that wait.
final class TurnQueue {
  private let loop: NIOIsolatedEventLoop
  private var waiting = CircularBuffer<() -> Void>()

  /// Longer than NIO takes to see that nothing more is due, and no more than is lost by that.
  private static let pause = TimeAmount.microseconds(10)

  /// - Precondition: called on the event loop, as all else here is.
  init(_ loop: any EventLoop) {
    self.loop = loop.assumeIsolated()
  }

  func add(_ turn: @escaping () -> Void) {
    waiting.append(turn)
    if waiting.count == 1 { schedule() }
  }

  private func schedule() {
    loop.scheduleTask(in: Self.pause) { [self] in
      // It leaves afterwards, so that what it adds does not schedule a second task.
      waiting[waiting.startIndex]()
      waiting.removeFirst()
      if !waiting.isEmpty { schedule() }
    }
  }
}

/// The queues of all event loops.
final class TurnQueues: Sendable {
  private let queues: [ObjectIdentifier: NIOLoopBoundBox<TurnQueue>]

  init(_ group: any EventLoopGroup) async throws {
    var queues: [ObjectIdentifier: NIOLoopBoundBox<TurnQueue>] = [:]
    for loop in group.makeIterator() {
      queues[ObjectIdentifier(loop)] = try await loop.submit {
        NIOLoopBoundBox(TurnQueue(loop), eventLoop: loop)
      }.get()
    }
    self.queues = queues
  }

  /// - Precondition: called on that event loop, one of the group's.
  func queue(of loop: any EventLoop) -> TurnQueue {
    guard let queue = queues[ObjectIdentifier(loop)] else {
      preconditionFailure("the event loop belongs to another group")
    }
    return queue.value
  }
}
