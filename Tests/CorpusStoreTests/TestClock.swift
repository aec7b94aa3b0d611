import Concurrency
import CorpusStore
import Foundation

/// Clocks that a test moves. The monotonic one stands still until it is advanced, or runs with the
/// system's.
final class TestClock: Sendable {
  private struct Offsets {
    var advanced = Duration.zero
    var wall = 0
  }

  /// The store looks at its clock under any lock of its own.
  private let offsets = Locked(Offsets(), rank: .release)
  private let standsStill: Bool
  private let start = ContinuousClock.now

  /// - Parameter standsStill: True if monotonic time passes by `advance` alone. Threads that wait
  ///   for a time still use the system's clock.
  init(standsStill: Bool = true) {
    self.standsStill = standsStill
  }

  /// Lets time pass, on both clocks.
  func advance(_ duration: Duration) { offsets.withLock { $0.advanced += duration } }

  /// Steps the wall clock alone.
  func stepWall(seconds: Int) { offsets.withLock { $0.wall += seconds } }

  private func now() -> ContinuousClock.Instant {
    (standsStill ? start : ContinuousClock.now) + offsets.withLock { $0.advanced }
  }

  private func wallSeconds() -> UInt64 {
    let passed = (now() - start).components.seconds
    return UInt64(1_800_000_000 + passed + Int64(offsets.withLock { $0.wall }))
  }

  var clock: StoreClock {
    StoreClock(now: { self.now() }, wallSeconds: { self.wallSeconds() })
  }
}

/// The reports of a store.
final class ReportLog: Sendable {
  /// The store reports under any lock of its own.
  private let lines = Locked<[String]>([], rank: .release)

  var report: StoreReport {
    { level, text in self.lines.withLock { $0.append("\(level): \(text)") } }
  }

  var all: [String] { lines.withLock { $0 } }

  /// Returns the lines since the last call.
  func take() -> [String] {
    lines.withLock { lines in
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
