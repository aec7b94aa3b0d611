import Logging
import NIOCore
import RepriseModel
import WireProtocol

/// Ending a connection that holds memory without making progress.
extension ConnectionHandler {
  /// Checks the connection periodically.
  func watch(_ context: ChannelHandlerContext) -> RepeatedTask {
    let period = Patience.period(transport.application.limits, isBeyondLimit: isBeyondLimit)
    let bound = NIOLoopBound((handler: self, context: context), eventLoop: context.eventLoop)
    return context.eventLoop.scheduleRepeatedTask(initialDelay: period, delay: period) { _ in
      bound.value.handler.losePatience(bound.value.context)
    }
  }

  private func losePatience(_ context: ChannelHandlerContext) {
    if isClosing { return }
    let limits = transport.application.limits
    let now = context.eventLoop.now
    if isWorking { patience.isWorkedFor(now) }
    let loss = patience.loss(
      limits, isKnown: runner.caller.principal != nil, isBeyondLimit: isBeyondLimit,
      isWorking: isWorking, now: now)
    switch loss {
    case .idleBeyondLimit:
      transport.application.metrics.note(.tooMany)
      end(.tooManyConnections(max: limits.connectionsMax), context)
    case .answersNotTaken:
      // The client reads nothing, so no error is sent.
      note(.answersNotTaken, .notice, "cut off: it did not read its answers")
      close(context)
    case .lineTooSlow where memoryIsAwaited:
      note(.memoryShort, .notice, "cut off: there is no memory for its line")
      end(
        transport.application.resources.memoryIsShort(for: bytesOfLines, "the line"), context)
    case .lineTooSlow:
      note(.lineTooSlow, .notice, "cut off: its line has no end")
      end(
        .limit(
          .lineSeconds, max: limits.lineSecondsMax, got: limits.lineSecondsMax + 1,
          "the time since the line began",
          remedy: "send lines whole"), context)
    case .noToken:
      note(.noToken, .notice, "cut off: no access token")
      end(.tokenNeeded, context)
    case .idle:
      note(.idle, .info, "closed: idle")
      close(context)
    case nil: break
    }
  }

  func note(_ cut: Metrics.Cut, _ level: Logger.Level, _ message: Logger.Message) {
    transport.application.metrics.note(cut)
    transport.logger.log(level: level, message, metadata: ["peer": "\(runner.caller.peer)"])
  }
}
