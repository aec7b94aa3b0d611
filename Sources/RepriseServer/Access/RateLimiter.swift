import Concurrency
import NIOCore

/// Allows a number of requests each second, and as many at once after a second without any.
final class RateLimiter: Sendable {
  private struct State {
    /// The time at which the allowance would be full without further requests: a request moves it
    /// on by its share of a second, and is refused if it is more than a second ahead.
    var full: NIODeadline
  }

  private let state = Locked(State(full: .uptimeNanoseconds(0)))

  /// Takes one request from the allowance.
  ///
  /// - Returns: nil, or the milliseconds until a request is allowed again.
  func take(_ requestsPerSecond: Int, now: NIODeadline) -> Int? {
    let share = TimeAmount.nanoseconds(1_000_000_000 / Int64(requestsPerSecond))
    return state.withLock { state in
      let full = max(state.full, now) + share
      let ahead = full - now
      if ahead > .seconds(1) {
        return Int((ahead.nanoseconds - 1_000_000_000 + 999_999) / 1_000_000)
      }
      state.full = full
      return nil
    }
  }
}
