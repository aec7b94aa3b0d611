import Concurrency
import Glibc
import Synchronization

/// The memory that this process may take, and the part of it that is reserved for work under way.
///
/// All work whose memory grows with the history must reserve it here first. Work that does not fit
/// is done in smaller pieces, later, or refused. A request is compared with this forecast:
///
///     measured + reserved and not taken yet + taken since the measurement
///
/// where `measured` is the anonymous memory of the process (not backed by a file), read from the
/// kernel at most every `nanosBetweenReadings`. A reservation reports how much of it was taken
/// already (`Reservation.taken`), so that nothing is counted twice during long work.
///
/// Some purposes may not use the whole limit: see `Purpose.ceiling`. The map of a corpus is not
/// counted: its pages belong to the page cache, which the kernel reclaims when memory is short.
public final class MemoryBudget: Sendable {
  /// Kinds of work that take memory.
  public enum Purpose: Int, CaseIterable, Sendable {
    /// Indexing prompts.
    case sessions
    /// Sequences that wait to be written.
    case writes
    /// Turning growing indexes into segments. It frees more than it takes and is small, so it is
    /// never postponed.
    case sealing
    /// Turning several segments into one.
    case merging
    /// Calls of operators: removing, restoring, merging corpora; and repairs.
    case operations

    /// The name in metrics.
    public var name: String { "\(self)" }

    /// The part of the limit, in sixteenths, that the forecast may reach.
    var ceiling: Int {
      switch self {
      case .sealing: 16
      // Sealing has priority over the work that it makes room for.
      case .sessions, .writes: 15
      // Background work leaves a quarter of the limit to sessions.
      case .merging, .operations: 12
      }
    }

    /// The part of the limit, in sixteenths, that work which has begun may reach if it needs more
    /// than was estimated.
    var ceilingOnceBegun: Int {
      // A merge can be abandoned, and lasts long: sessions must find memory meanwhile.
      self == .merging ? 14 : 16
    }

    /// The part of the limit, in sixteenths, that all reservations of this kind may take together.
    var share: Int { self == .writes ? 2 : ceiling }

    /// True if merging gives way to this kind.
    var precedesMerging: Bool { self == .sessions || self == .writes }

    /// True if the memory is allocated before it is reserved: it is bounded, and needs no forecast.
    var isTakenBefore: Bool { self == .writes }

    /// True if the memory stays in use when the reservation ends.
    var outlivesReservation: Bool { self == .sessions }
  }

  /// Figures for `server.metrics`.
  public struct Usage: Equatable, Sendable {
    /// Bytes reserved, by purpose.
    public var reserved = [Int](repeating: 0, count: Purpose.allCases.count)
    /// Requests that did not fit, by purpose.
    public var refusals = [Int](repeating: 0, count: Purpose.allCases.count)
    /// Anonymous memory (not backed by a file), in bytes.
    public var measured = 0
    /// Bytes that are reserved or taken and not contained in `measured`.
    public var expected = 0
  }

  private struct State {
    let measure: @Sendable () -> Int
    var limit: Int
    var reserved = [Int](repeating: 0, count: Purpose.allCases.count)
    var refusals = [Int](repeating: 0, count: Purpose.allCases.count)
    /// True if a request was refused that merging gives way to, and that would fit without it.
    var mergingMustYield = false
    /// Bytes of all reservations that are not taken yet.
    var untaken = 0
    var measured = 0
    var measuredNanos: UInt64 = 0
    /// Bytes taken since the last reading.
    var takenSince = 0

    func part(_ sixteenths: Int) -> Int { limit / 16 * sixteenths }

    var forecast: Int { measured + untaken + takenSince }

    mutating func hasRoom(_ bytes: Int, _ purpose: Purpose) -> Bool {
      // A request that alone exceeds the share is admitted when there is no other of its purpose.
      let others = reserved[purpose.rawValue]
      if others > 0 && others + bytes > part(purpose.share) { return false }
      let ceiling = part(purpose.ceiling)
      read(ifOlderThan: MemoryBudget.nanosBetweenReadings)
      if forecast + bytes <= ceiling { return true }
      read(ifOlderThan: MemoryBudget.nanosBeforeRefusal)
      let lacking = forecast + bytes - ceiling
      if lacking > 0 && purpose.precedesMerging && lacking <= reserved[Purpose.merging.rawValue] {
        mergingMustYield = true
      }
      return lacking <= 0
    }

    mutating func read(ifOlderThan nanos: UInt64) {
      let now = monotonicNanos()
      if measuredNanos != 0 && now - measuredNanos < nanos { return }
      measured = measure()
      measuredNanos = now
      takenSince = 0
    }
  }

  private let state: Locked<State>

  /// The largest age of a reading before memory is read again, in nanoseconds. A reading takes
  /// about 3 µs.
  static let nanosBetweenReadings: UInt64 = 50_000_000
  /// The largest age of a reading by which a request is refused.
  private static let nanosBeforeRefusal: UInt64 = 1_000_000

  /// Creates a budget.
  ///
  /// - Parameters:
  ///   - limit: Bytes; by default all that the machine or control group allows.
  ///   - measure: Returns the bytes in use. Called under a lock, so it must be quick.
  public init(
    limit: Int = .max >> 8, measuredBy measure: @escaping @Sendable () -> Int = anonymousBytes
  ) {
    state = Locked(
      State(measure: measure, limit: min(max(0, limit), .max >> 8)), rank: .release)
  }

  /// The anonymous memory that the process may have, in bytes.
  public var limit: Int { state.withLock { $0.limit } }

  /// Reduces the limit, if it is larger.
  public func lowerLimit(to limit: Int) {
    state.withLock { $0.limit = min($0.limit, max(0, limit)) }
  }

  /// A share of the limit, in bytes.
  public func bytes(sixteenths: Int) -> Int { state.withLock { $0.part(sixteenths) } }

  /// Reserves memory for work that is about to begin.
  ///
  /// - Parameter isUrgent: True if the memory is reserved even beyond the limit.
  /// - Returns: nil if it does not fit now. Never waits.
  public func reserve(
    _ bytes: Int, for purpose: Purpose, isUrgent: Bool = false
  ) -> Reservation? {
    let bytes = max(0, bytes)
    let isPromised = state.withLock { state in
      let isPromised = isUrgent || state.hasRoom(bytes, purpose)
      if isPromised {
        state.reserved[purpose.rawValue] += bytes
        if purpose.isTakenBefore {
          state.takenSince += bytes
        } else {
          state.untaken += bytes
        }
      } else {
        state.refusals[purpose.rawValue] += 1
      }
      return isPromised
    }
    return isPromised ? Reservation(self, purpose, bytes) : nil
  }

  /// True if this amount could be reserved now.
  public func fits(_ bytes: Int, for purpose: Purpose) -> Bool {
    state.withLock { $0.hasRoom(bytes, purpose) }
  }

  /// Reads the memory in use anew.
  public func refresh() { state.withLock { $0.read(ifOlderThan: 0) } }

  /// The current figures, with a recent reading of the memory in use.
  public var usage: Usage {
    state.withLock { state in
      state.read(ifOlderThan: Self.nanosBetweenReadings)
      return Usage(
        reserved: state.reserved, refusals: state.refusals, measured: state.measured,
        expected: state.untaken + state.takenSince)
    }
  }

  /// Bytes in use beyond the share of background work: memory that can be freed should be.
  public var excess: Int {
    state.withLock { state in
      state.read(ifOlderThan: Self.nanosBetweenReadings)
      return state.forecast - state.part(Purpose.merging.ceiling)
    }
  }

  /// Reserved memory, until the last reference is released.
  public final class Reservation: Sendable {
    private let budget: MemoryBudget
    private let purpose: Purpose
    // Changed under the budget's lock only. (A lock of its own would be one more for each insert.)
    private let bytes: Atomic<Int>
    private let taken: Atomic<Int>

    fileprivate init(_ budget: MemoryBudget, _ purpose: Purpose, _ bytes: Int) {
      self.budget = budget
      self.purpose = purpose
      self.bytes = Atomic(bytes)
      taken = Atomic(purpose.isTakenBefore ? bytes : 0)
    }

    /// True if the work should be abandoned, because sessions or sequences are refused for lack of
    /// memory meanwhile. Only merging can be.
    public var mustYield: Bool {
      purpose == .merging && budget.state.withLock { $0.mergingMustYield }
    }

    /// Reports how much of the reservation is taken by now.
    public func update(taken now: Int) {
      budget.state.withLock { state in
        let now = min(max(0, now), bytes.load(ordering: .relaxed))
        state.untaken += taken.exchange(now, ordering: .relaxed) - now
        state.read(ifOlderThan: 0)
      }
    }

    /// Reports progress if it is worth a reading: to be called after each small step.
    public func advance(taken now: Int) {
      if now - taken.load(ordering: .relaxed) >= Self.bytesPerUpdate { update(taken: now) }
    }

    /// The number of bytes after which `advance` reports.
    static let bytesPerUpdate = 1 << 18

    /// Changes the reservation to another total.
    ///
    /// - Parameter isUrgent: True if the ceiling of the purpose may be exceeded, up to the one of
    ///   work that has begun.
    /// - Returns: True if the new total was reserved; otherwise the reservation stays as it was.
    public func resize(to newBytes: Int, isUrgent: Bool = false) -> Bool {
      budget.state.withLock { state in
        let added =
          max(newBytes, taken.load(ordering: .relaxed)) - bytes.load(ordering: .relaxed)
        if added > 0 {
          let ceiling = state.part(isUrgent ? purpose.ceilingOnceBegun : purpose.ceiling)
          state.read(ifOlderThan: 0)
          if state.forecast + added > ceiling {
            state.refusals[purpose.rawValue] += 1
            return false
          }
        }
        bytes.add(added, ordering: .relaxed)
        state.reserved[purpose.rawValue] += added
        state.untaken += added
        return true
      }
    }

    deinit {
      let bytes = bytes.load(ordering: .relaxed)
      let untaken = bytes - taken.load(ordering: .relaxed)
      budget.state.withLock { state in
        state.reserved[purpose.rawValue] -= bytes
        state.untaken -= untaken
        if purpose == .merging { state.mergingMustYield = false }
        if purpose.outlivesReservation {
          state.takenSince += untaken
        } else if !purpose.isTakenBefore {
          // The last measurement includes the memory that is being freed.
          state.measuredNanos = 0
        }
      }
    }
  }
}

/// Anonymous memory of this process (not backed by a file) in bytes, or 0 if the kernel does not
/// report it.
public func anonymousBytes() -> Int {
  // "size resident shared text lib data dt", in pages; shared pages are those of files.
  let descriptor = unsafe open("/proc/self/statm", O_RDONLY | O_CLOEXEC)
  if descriptor < 0 { return 0 }
  defer { close(descriptor) }
  var text: InlineArray<128, UInt8> = InlineArray(repeating: 0)
  var span = text.mutableSpan
  let count = unsafe span.withUnsafeMutableBytes {
    unsafe read(descriptor, $0.baseAddress, $0.count)
  }
  var fields = (0, 0, 0)
  var field = 0
  for position in 0..<max(0, min(count, text.count)) {
    let digit = Int(text[position]) - 48
    if !(0...9).contains(digit) {
      field += 1
      if field > 2 { break }
      continue
    }
    switch field {
    case 0: fields.0 = fields.0 * 10 + digit
    case 1: fields.1 = fields.1 * 10 + digit
    default: fields.2 = fields.2 * 10 + digit
    }
  }
  return max(0, fields.1 - fields.2) * Int(sysconf(Int32(_SC_PAGESIZE)))
}

private func monotonicNanos() -> UInt64 {
  var time = timespec()
  unsafe clock_gettime(CLOCK_MONOTONIC, &time)
  return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}
