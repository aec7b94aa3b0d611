import CLinux
import NIOConcurrencyHelpers
import NIOPosix

/// A thread for what would hold up an event loop, done one by one.
struct WorkQueue: Sendable {
  private let pool = NIOThreadPool(numberOfThreads: 1)

  /// - Parameters:
  ///   - name: The thread's.
  ///   - isBackground: Whether others come before it.
  init(_ name: String, isBackground: Bool = true) {
    pool.start()
    run { unsafe take_short_turns(name, isBackground ? 10 : 0) }
  }

  /// - Parameter ended: Called instead of `body` where the queue ends before its turn.
  func run(
    _ body: @escaping @Sendable () -> Void, ended: @escaping @Sendable () -> Void = {}
  ) {
    pool.submit { state in
      switch state {
      case .active: body()
      case .cancelled: ended()
      }
    }
  }

  /// Waits for what has begun; what waits for its turn, or is still to come, is not done.
  func end() async {
    // It fails where the queue has ended already.
    try? await pool.shutdownGracefully()
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
