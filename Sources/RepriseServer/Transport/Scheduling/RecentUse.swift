import Foundation
import NIOCore

/// A connection's recent use of an event loop's time, with a half-life of one second.
struct RecentUse: Equatable, Comparable {
  // log₂ of the time, as if it were used now, plus the age of the machine in half-lives. All uses
  // decay alike, so this number stays the same, and comparable, until more is used.
  private var level = -Double.infinity

  init() {}

  /// The use of a connection that constantly takes this share of the time.
  init(share: Double, now: NIODeadline) {
    level = log2(share / log(2)) + Self.halfLives(now)
  }

  private static func halfLives(_ now: NIODeadline) -> Double {
    Double(now.uptimeNanoseconds) * 1e-9
  }

  mutating func add(_ time: TimeAmount, now: NIODeadline) {
    let halfLives = Self.halfLives(now)
    level = log2(exp2(level - halfLives) + Double(time.nanoseconds) * 1e-9) + halfLives
  }

  /// The constant share of the event loop's time that leads to this use.
  func share(now: NIODeadline) -> Double { exp2(level - Self.halfLives(now)) * log(2) }

  static func < (left: Self, right: Self) -> Bool { left.level < right.level }
}
