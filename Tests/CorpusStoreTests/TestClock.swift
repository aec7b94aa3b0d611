import CorpusStore
import Foundation

/// Clocks that a test moves. The monotonic one stands still until it is advanced, or runs with the
/// system's.
final class TestClock: @unchecked Sendable {
  // @unchecked Sendable: mutable state is guarded by `lock`.
  private let lock = NSLock()
  private let standsStill: Bool
  private let start = ContinuousClock.now
  private var advanced = Duration.zero
  private var wallOffset = 0

  /// - Parameter standsStill: True if monotonic time passes by `advance` alone. Threads that wait
  ///   for a time still use the system's clock.
  init(standsStill: Bool = true) {
    self.standsStill = standsStill
  }

  /// Lets time pass, on both clocks.
  func advance(_ duration: Duration) { lock.withLock { advanced += duration } }

  /// Steps the wall clock alone.
  func stepWall(seconds: Int) { lock.withLock { wallOffset += seconds } }

  private func now() -> ContinuousClock.Instant {
    (standsStill ? start : ContinuousClock.now) + lock.withLock { advanced }
  }

  private func wallSeconds() -> UInt64 {
    let passed = (now() - start).components.seconds
    return UInt64(1_800_000_000 + passed + Int64(lock.withLock { wallOffset }))
  }

  var clock: StoreClock {
    StoreClock(now: { self.now() }, wallSeconds: { self.wallSeconds() })
  }
}

/// The reports of a store.
final class ReportLog: @unchecked Sendable {
  // @unchecked Sendable: `lines` is guarded by `lock`.
  private let lock = NSLock()
  private var lines: [String] = []

  var report: StoreReport {
    { level, text in self.lock.withLock { self.lines.append("\(level): \(text)") } }
  }

  var all: [String] { lock.withLock { lines } }

  /// Returns the lines since the last call.
  func take() -> [String] {
    lock.withLock {
      defer { lines = [] }
      return lines
    }
  }

  /// Waits for a line, and returns the lines since the last call. A condition can be seen before
  /// the thread that met it has reported it.
  func next() -> [String] {
    _ = eventually { !all.isEmpty }
    return take()
  }
}

/// Waits until a condition holds, which other threads bring about. Returns true if it does.
func eventually(
  within limit: Duration = .seconds(120), _ condition: () throws -> Bool
) rethrows -> Bool {
  let end = ContinuousClock.now + limit
  while true {
    if try condition() { return true }
    if ContinuousClock.now > end { return false }
    usleep(2000)
  }
}
