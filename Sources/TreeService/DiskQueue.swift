import NIOConcurrencyHelpers
import NIOPosix

/// Runs the few calls that wait for the disk themselves, off the event loops.
struct DiskQueue: Sendable {
  private let pool = NIOThreadPool(numberOfThreads: 1)

  init() { pool.start() }

  func run(_ body: @escaping @Sendable () -> Void) {
    pool.submit { _ in body() }
  }
}

/// Calls back when all that entered has left. It is made with one entry, for whoever enters others.
final class CompletionGroup: Sendable {
  private let entered = NIOLockedValueBox(1)
  private let done: @Sendable () -> Void

  init(_ done: @escaping @Sendable () -> Void) {
    self.done = done
  }

  func enter() { entered.withLockedValue { $0 += 1 } }

  func leave() {
    let isLast = entered.withLockedValue { count in
      count -= 1
      return count == 0
    }
    if isLast { done() }
  }
}
