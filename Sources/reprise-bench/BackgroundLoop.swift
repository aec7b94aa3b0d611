import Concurrency
import Foundation
import ToolSupport

/// Runs a body repeatedly on a thread of its own, and records the duration of each run.
final class BackgroundLoop: Sendable {
  private struct State {
    var times = Latencies()
    var count = 0
    var isStopping = false
  }

  private let state = Locked(State())
  private let end = DispatchSemaphore(value: 0)

  /// - Parameter body: Receives 0, 1, 2 … and returns nanoseconds, or nil to end.
  init(_ body: @escaping @Sendable (Int) throws -> Int?) {
    Thread.detachNewThread { [self] in
      var number = 0
      while !state.withLock({ $0.isStopping }), let time = try? body(number) {
        number += 1
        state.withLock { [number] state in
          state.times.add(time)
          state.count = number
        }
      }
      end.signal()
    }
  }

  /// The number of runs so far.
  var count: Int { state.withLock { $0.count } }

  /// The durations since the last call of this method.
  func takeTimes() -> Latencies {
    state.withLock { state in
      defer { state.times = Latencies() }
      return state.times
    }
  }

  /// Returns when the thread has ended.
  func stop() {
    state.withLock { $0.isStopping = true }
    end.wait()
  }
}
