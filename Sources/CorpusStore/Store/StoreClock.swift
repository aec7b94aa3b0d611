import Foundation

/// The two clocks that a store goes by. Tests put their own in place of the system's.
public struct StoreClock: Sendable {
  /// The monotonic time. Everything that waits, measures or comes due goes by it, because nobody can
  /// step it.
  public var now: @Sendable () -> ContinuousClock.Instant
  /// Seconds since 1970, which an administrator, NTP or a virtual machine that is resumed may step
  /// forward and back. For stamps that are read by people or by another process, and for nothing else.
  public var wallSeconds: @Sendable () -> UInt64

  public init(
    now: @escaping @Sendable () -> ContinuousClock.Instant,
    wallSeconds: @escaping @Sendable () -> UInt64
  ) {
    self.now = now
    self.wallSeconds = wallSeconds
  }

  public static let system = StoreClock(
    now: { ContinuousClock.now }, wallSeconds: { UInt64(max(0, Date().timeIntervalSince1970)) })
}
