import Foundation

/// The two clocks of a store. Tests replace them by their own.
public struct StoreClock: Sendable {
  /// The monotonic time. All waiting, measuring and scheduling uses it, because it is never
  /// stepped.
  public var now: @Sendable () -> ContinuousClock.Instant
  /// Seconds since 1970. An administrator, NTP or the resumption of a virtual machine may step it
  /// forward and back. Only for stamps that people or other processes read.
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
