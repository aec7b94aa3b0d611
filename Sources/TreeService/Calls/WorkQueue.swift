import CLinux
import NIOConcurrencyHelpers
import NIOPosix

/// A thread for work that would block an event loop, one item after the other.
struct WorkQueue: Sendable {
  private let pool = NIOThreadPool(numberOfThreads: 1)

  /// Starts the thread.
  ///
  /// - Parameters:
  ///   - name: The name of the thread.
  ///   - isBackground: True if other threads have priority.
  init(_ name: String, isBackground: Bool = true) {
    pool.start()
    run { unsafe take_short_turns(name, isBackground ? 10 : 0) }
  }

  /// - Parameter ended: Called instead of `body` if the queue ends before it runs.
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

  /// Waits for the work that has begun; waiting and later work is not carried out.
  func end() async {
    // This fails if the queue has ended already.
    try? await pool.shutdownGracefully()
  }
}

/// Calls back when every entry has left. It begins with one entry, held while others are added.
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
