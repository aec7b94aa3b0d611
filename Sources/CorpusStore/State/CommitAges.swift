/// The ages of sequences, from stamps of a wall clock that may be stepped.
///
/// A sequence must not leave before its corpus's retention time has passed, as far as that can be
/// known, and should leave soon after. Stamps alone are not enough: if the wall clock is stepped
/// forward by a year, every sequence seems a year older. Therefore time is measured by the
/// monotonic clock from the moment at which the corpus was opened:
///
/// - A sequence that existed then had, at that moment, the age that its stamp gave, or 0 if the
///   stamp lay in the future. Since then it has aged by the time that has passed.
/// - For a later sequence, the offset of the wall clock, which stamped it, from the time that had
///   passed is known. Its stamp is corrected by this offset.
///
/// Steps of the clock while no process had the corpus open cannot be known.
struct CommitAges {
  /// The times of the wall clock and of the monotonic clock when the corpus was opened.
  private let openedSeconds: Int
  private let opened: ContinuousClock.Instant
  /// The order number that the next sequence would have got then.
  private let firstOrder: UInt64
  /// For each order number from which the wall clock had a new offset, the number of seconds by
  /// which it was ahead of the time that had passed. By rising order numbers.
  private var offsets: [(order: UInt64, seconds: Int)]

  /// Smaller differences come from normal clock adjustment and from rounding to seconds.
  private static let tolerance = 2
  /// The number of offsets that are remembered; beyond them, the earliest two become one.
  private static let offsetsMax = 1024

  init(nextOrder: UInt64, clock: StoreClock) {
    openedSeconds = Int(clock.wallSeconds())
    opened = clock.now()
    firstOrder = nextOrder
    offsets = [(nextOrder, 0)]
  }

  /// Notes the offset of the wall clock, before sequences from `nextOrder` on are stamped.
  mutating func note(wallSeconds: UInt64, at now: ContinuousClock.Instant, nextOrder: UInt64) {
    let offset = Int(wallSeconds) - secondsPassed(at: now)
    guard let last = offsets.last, abs(offset - last.seconds) >= Self.tolerance else { return }
    if last.order == nextOrder { offsets.removeLast() }
    offsets.append((nextOrder, offset))
    if offsets.count > Self.offsetsMax { offsets.remove(at: 1) }
  }

  /// The time for which a sequence has been kept, in seconds.
  ///
  /// - Parameter committed: The sequence's stamp, in seconds since 1970.
  func age(order: UInt64, committed: UInt64, at now: ContinuousClock.Instant) -> Int {
    let committed = Int(clamping: committed)
    if order < firstOrder {
      return secondsPassed(at: now) - min(committed, openedSeconds)
    }
    let offset = offsets.last { $0.order <= order }?.seconds ?? 0
    return max(0, secondsPassed(at: now) - (committed - offset))
  }

  /// The seconds since 1970 that a wall clock without steps would show.
  private func secondsPassed(at now: ContinuousClock.Instant) -> Int {
    openedSeconds + Int((now - opened).components.seconds)
  }
}
