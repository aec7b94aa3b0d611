import Foundation

/// Does something again and again on a thread of its own, and keeps how long each took.
final class BackgroundLoop: @unchecked Sendable {
  // @unchecked Sendable: what changes is guarded by `condition`.
  private let condition = NSCondition()
  private var times = Times()
  private var isStopping = false
  private var hasEnded = false
  private(set) var count = 0

  /// - Parameter body: Is given 0, 1, 2 … and returns nanoseconds, or nil to end.
  init(_ body: @escaping @Sendable (Int) throws -> Int?) {
    Thread.detachNewThread { [self] in
      var number = 0
      while !condition.withLock({ isStopping }), let time = try? body(number) {
        number += 1
        condition.withLock { times.add(time) }
      }
      condition.withLock {
        count = number
        hasEnded = true
        condition.signal()
      }
    }
  }

  /// The times since this was called last.
  func takeTimes() -> Times {
    condition.withLock {
      defer { times = Times() }
      return times
    }
  }

  /// Returns when the thread does nothing more; then `count` says how often it did.
  func stop() {
    condition.withLock {
      isStopping = true
      while !hasEnded { condition.wait() }
    }
  }
}
