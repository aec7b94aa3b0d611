import Logging
import NIOCore
import RepriseModel
import WireProtocol

/// The rules for ending a connection that holds memory without making progress.
struct Patience {
  /// The time at which the incomplete line began.
  private var partialBegan: NIODeadline?
  /// The time of the last complete line, or of the connection's start; or of the last work for it,
  /// which may take longer than the connection may be idle.
  private var lastWork = NIODeadline.now()
  fileprivate let connected = NIODeadline.now()
  /// The time since when answers wait for the client to read earlier ones.
  private var answersBlocked: NIODeadline?
  fileprivate var watch: RepeatedTask?

  mutating func lineCame(_ now: NIODeadline) {
    lastWork = now
    partialBegan = nil
  }

  func isIdle(_ now: NIODeadline, seconds: Int) -> Bool {
    now - lastWork > .seconds(Int64(seconds))
  }

  mutating func isWorkedFor(_ now: NIODeadline) { lastWork = now }

  /// Notes that only a line without an end is left; nil if nothing is left.
  mutating func lineBegan(_ now: NIODeadline?) {
    partialBegan = now.map { partialBegan ?? $0 }
  }

  mutating func answersAreTaken(_ areTaken: Bool) {
    answersBlocked = areTaken ? nil : .now()
  }

  /// Notes that the client has read some answers.
  mutating func answersWereTaken() {
    if answersBlocked != nil { answersBlocked = .now() }
  }

  mutating func end() {
    watch?.cancel()
    watch = nil
  }

  fileprivate enum Loss { case answersNotTaken, lineTooSlow, noToken, idle }

  /// The bound that is exceeded.
  fileprivate func loss(
    _ limits: Limits, isKnown: Bool, now: NIODeadline
  ) -> Loss? {
    func isLate(_ since: NIODeadline?, _ seconds: Int) -> Bool {
      since.map { now - $0 > .seconds(Int64(seconds)) } ?? false
    }
    if isLate(answersBlocked, limits.answerSecondsMax) { return .answersNotTaken }
    if isLate(partialBegan, limits.lineSecondsMax) { return .lineTooSlow }
    if !isKnown && isLate(connected, limits.lineSecondsMax) { return .noToken }
    if partialBegan == nil && isLate(lastWork, limits.idleSecondsMax) { return .idle }
    return nil
  }
}

extension ConnectionHandler {
  /// Checks the connection periodically.
  func watch(_ context: ChannelHandlerContext) {
    let limits = responder.options.limits
    let shortest = min(limits.lineSecondsMax, limits.answerSecondsMax, limits.idleSecondsMax)
    let longest: Int64 = caller.isBeyondLimit ? 1000 : 5000
    let period = TimeAmount.milliseconds(min(longest, Int64(shortest) * 250))
    let bound = NIOLoopBound((handler: self, context: context), eventLoop: context.eventLoop)
    patience.watch = context.eventLoop.scheduleRepeatedTask(initialDelay: period, delay: period) {
      _ in
      bound.value.handler.losePatience(bound.value.context)
    }
  }

  /// Seconds in which a connection beyond the limit must make a call.
  private static let secondsBeyondLimit = 5

  private func losePatience(_ context: ChannelHandlerContext) {
    if isClosing { return }
    let limits = responder.options.limits
    let now = NIODeadline.now()
    if isWorking { patience.isWorkedFor(now) }
    if caller.isBeyondLimit && !isWorking && patience.isIdle(now, seconds: Self.secondsBeyondLimit)
    {
      responder.metrics.note(.tooMany)
      return end(.tooManyConnections(max: limits.connectionsMax), context)
    }
    switch patience.loss(limits, isKnown: caller.principal != nil, now: now) {
    case .answersNotTaken:
      // The client reads nothing, so no error is sent.
      responder.metrics.note(.answersNotTaken)
      responder.logger.notice(
        "cut off: it did not read its answers", metadata: ["peer": "\(caller.peer)"])
      isClosing = true
      context.close(promise: nil)
    case .lineTooSlow:
      responder.metrics.note(.lineTooSlow)
      responder.logger.notice("cut off: its line has no end", metadata: ["peer": "\(caller.peer)"])
      end(
        .limit(
          .lineSeconds, max: limits.lineSecondsMax, got: limits.lineSecondsMax + 1,
          "the time since the line began",
          remedy: "send lines whole"), context)
    case .noToken:
      responder.metrics.note(.noToken)
      responder.logger.notice("cut off: no access token", metadata: ["peer": "\(caller.peer)"])
      end(.tokenNeeded, context)
    case .idle:
      responder.metrics.note(.idle)
      responder.logger.info("closed: idle", metadata: ["peer": "\(caller.peer)"])
      isClosing = true
      context.close(promise: nil)
    case nil: break
    }
  }
}
