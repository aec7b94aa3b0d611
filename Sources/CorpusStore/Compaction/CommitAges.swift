/// The ages of sequences, from stamps of a wall clock that may be stepped.
///
/// A sequence must not leave before the time that its corpus keeps it for has passed, as far as that can
/// be known, and should leave soon after. Stamps alone do not tell: where the wall clock is stepped
/// forward by a year, all that is there would seem a year older. So time is measured by the monotonic
/// clock from the moment at which the corpus was opened:
///
/// - A sequence that was there then is as old as its stamp said at that moment, and not younger than
///   nothing, and has grown older since by the time that has passed.
/// - For one that came later it is known by how much the wall clock, which stamped it, was off from the
///   time that had passed. Its stamp is read with that correction.
///
/// Steps of the clock while no process had the corpus open cannot be known.
struct CommitAges {
  /// The wall clock and the monotonic one when the corpus was opened.
  private let openedSeconds: Int
  private let opened: ContinuousClock.Instant
  /// The order number that was the next one then.
  private let firstOrder: UInt64
  /// From which order number on the wall clock was ahead of the time that had passed, and by how many
  /// seconds. By rising order numbers.
  private var offsets: [(order: UInt64, seconds: Int)]

  /// Smaller differences are how clocks are kept right, and how seconds are rounded.
  private static let tolerance = 2
  /// So many steps are remembered; beyond them, the earliest two become one.
  private static let offsetsMax = 1024

  init(nextOrder: UInt64, clock: StoreClock) {
    openedSeconds = Int(clock.wallSeconds())
    opened = clock.now()
    firstOrder = nextOrder
    offsets = [(nextOrder, 0)]
  }

  /// Notes by how much the wall clock is off, before sequences from `nextOrder` on are stamped.
  mutating func note(wallSeconds: UInt64, at now: ContinuousClock.Instant, nextOrder: UInt64) {
    let offset = Int(wallSeconds) - secondsPassed(at: now)
    guard let last = offsets.last, abs(offset - last.seconds) >= Self.tolerance else { return }
    if last.order == nextOrder { offsets.removeLast() }
    offsets.append((nextOrder, offset))
    if offsets.count > Self.offsetsMax { offsets.remove(at: 1) }
  }

  /// Seconds for which a sequence has been kept.
  ///
  /// - Parameter committed: Its stamp, seconds since 1970.
  func age(order: UInt64, committed: UInt64, at now: ContinuousClock.Instant) -> Int {
    let committed = Int(clamping: committed)
    if order < firstOrder {
      return secondsPassed(at: now) - min(committed, openedSeconds)
    }
    let offset = offsets.last { $0.order <= order }?.seconds ?? 0
    return max(0, secondsPassed(at: now) - (committed - offset))
  }

  /// The seconds since 1970 that a wall clock without steps would tell.
  private func secondsPassed(at now: ContinuousClock.Instant) -> Int {
    openedSeconds + Int((now - opened).components.seconds)
  }
}
