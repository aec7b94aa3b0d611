import NIOCore

/// A queue of one event loop's connections that have more work than fits into their quantum.
///
/// The connection with the least recent use is next: heavy connections take no quanta from light
/// ones, and share the rest among themselves. A new connection is treated like the heaviest current
/// user, so that reconnecting gains no priority.
///
/// Between two quanta the event loop is to poll its sockets, so that a request which needs no quantum
/// waits for one quantum at most, however many connections wait here: each quantum needs a wake-up,
/// which comes through a socket (`WakeUpSocket`). Used on its event loop alone.
final class UsageQueue {
  /// Asks for one call of `workNext`.
  private let wakeUp: () -> Void
  private var mostUsed = RecentUse()
  // Unordered: there are at most as many as connections, and searching a thousand takes a
  // microsecond.
  private var waiting: [(use: RecentUse, work: () -> Void)] = []

  init(wakeUp: @escaping () -> Void) {
    self.wakeUp = wakeUp
  }

  /// The length of a quantum, and so the delay that others may suffer. A step of 64 sessions takes
  /// three of the longer quanta, which light connections get.
  func quantum(of use: RecentUse, now: NIODeadline) -> TimeAmount {
    .microseconds(use.share(now: now) < Self.seldom ? 200 : 50)
  }

  /// The share of an event loop's time below which a connection counts as light.
  private static let seldom = 0.1

  /// The usage that a new connection starts with. It is high, so that reconnecting gains no
  /// priority.
  var useOfNewcomers: RecentUse {
    max(mostUsed, RecentUse(share: 2 * Self.seldom, now: .now()))
  }

  /// Adds time to a connection's use.
  func note(_ time: TimeAmount, by use: inout RecentUse) {
    use.add(time, now: .now())
    mostUsed = max(mostUsed, use)
  }

  /// True if no waiting connection has used less.
  func wouldBeNext(_ use: RecentUse) -> Bool { waiting.allSatisfy { use < $0.use } }

  /// Has a connection work when it is next.
  func add(_ use: RecentUse, _ work: @escaping () -> Void) {
    waiting.append((use, work))
    if waiting.count == 1 { wakeUp() }
  }

  /// Has the next connection work for one quantum.
  func workNext() {
    guard let next = waiting.indices.min(by: { waiting[$0].use < waiting[$1].use }) else { return }
    waiting.swapAt(next, waiting.count - 1)
    let (_, work) = waiting.removeLast()
    // Requested before the quantum, so that connections added in it do not request another one.
    if !waiting.isEmpty { wakeUp() }
    work()
  }

  func removeAll() { waiting.removeAll() }
}
