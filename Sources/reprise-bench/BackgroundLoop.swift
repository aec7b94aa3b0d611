import Foundation

/// Runs a body repeatedly on a thread of its own, and records the duration of each run.
final class BackgroundLoop: @unchecked Sendable {
  // @unchecked Sendable: mutable state is guarded by `condition`.
  private let condition = NSCondition()
  private var times = Times()
  private var isStopping = false
  private var hasEnded = false
  private(set) var count = 0

  /// - Parameter body: Receives 0, 1, 2 … and returns nanoseconds, or nil to end.
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

  /// The durations since the last call of this method.
  func takeTimes() -> Times {
    condition.withLock {
      defer { times = Times() }
      return times
    }
  }

  /// Returns when the thread has ended; then `count` is the number of runs.
  func stop() {
    condition.withLock {
      isStopping = true
      while !hasEnded { condition.wait() }
    }
  }
}
