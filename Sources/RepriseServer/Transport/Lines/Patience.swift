import NIOCore
import RepriseModel

/// The rules for ending a connection that holds memory without making progress.
struct Patience {
  /// The time at which the incomplete line began.
  private var partialBegan: NIODeadline?
  /// The time of the last complete line, or of the connection's start; or of the last work for it,
  /// which may take longer than the connection may be idle.
  private var lastWork: NIODeadline
  private let connected: NIODeadline
  /// The time since when answers wait for the client to read earlier ones.
  private var answersBlocked: NIODeadline?

  /// Seconds in which a connection beyond the limit must make a call.
  private static let secondsBeyondLimit = 5

  init(_ now: NIODeadline) {
    connected = now
    lastWork = now
  }

  mutating func lineCame(_ now: NIODeadline) {
    lastWork = now
    partialBegan = nil
  }

  mutating func isWorkedFor(_ now: NIODeadline) { lastWork = now }

  /// Notes that only a line without an end is left; nil if nothing is left.
  mutating func lineBegan(_ now: NIODeadline?) {
    partialBegan = now.map { partialBegan ?? $0 }
  }

  mutating func answersAreTaken(_ areTaken: Bool, _ now: NIODeadline) {
    answersBlocked = areTaken ? nil : now
  }

  /// Notes that the client has read some answers.
  mutating func answersWereTaken(_ now: NIODeadline) {
    if answersBlocked != nil { answersBlocked = now }
  }

  /// The reason to end the connection.
  enum Loss { case idleBeyondLimit, answersNotTaken, lineTooSlow, noToken, idle }

  /// The bound that is exceeded.
  func loss(
    _ limits: Limits, isKnown: Bool, isBeyondLimit: Bool, isWorking: Bool, now: NIODeadline
  ) -> Loss? {
    func isLate(_ since: NIODeadline?, _ seconds: Int) -> Bool {
      since.map { now - $0 > .seconds(Int64(seconds)) } ?? false
    }
    if isBeyondLimit && !isWorking && isLate(lastWork, Self.secondsBeyondLimit) {
      return .idleBeyondLimit
    }
    if isLate(answersBlocked, limits.answerSecondsMax) { return .answersNotTaken }
    if isLate(partialBegan, limits.lineSecondsMax) { return .lineTooSlow }
    if !isKnown && isLate(connected, limits.lineSecondsMax) { return .noToken }
    if partialBegan == nil && isLate(lastWork, limits.idleSecondsMax) { return .idle }
    return nil
  }

  /// The time between two looks at a connection.
  static func period(_ limits: Limits, isBeyondLimit: Bool) -> TimeAmount {
    let shortest = min(limits.lineSecondsMax, limits.answerSecondsMax, limits.idleSecondsMax)
    return .milliseconds(min(isBeyondLimit ? 1000 : 5000, Int64(shortest) * 250))
  }
}
