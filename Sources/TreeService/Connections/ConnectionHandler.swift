import Logging
import NIOCore
import WireProtocol

/// Cuts the bytes of one connection into lines and answers them.
///
/// Requests are answered in the handler itself, without a hop to another thread, and flushed once a
/// read; only those that wait for the disk, and long ones, are answered later. They begin in the order
/// in which they came. A connection works for a turn at most before others of its event loop are
/// looked at again. A client that does not read its answers is not read from either, until it has, and
/// is cut off where it takes too long.
final class ConnectionHandler: ChannelDuplexHandler {
  typealias InboundIn = ByteBuffer
  typealias OutboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  let responder: Responder
  let reader: RequestReader
  private let turns: TurnQueue
  var caller: Caller
  var outbox = Outbox()
  private var lines = LineBuffer()

  // What keeps lines waiting that are there already.

  /// A request whose drafts are not all made.
  var unfinished: Unfinished?
  /// Requests of an array that are not begun.
  var batch: WaitingBatch?
  /// Whether another thread reads a line.
  var lineIsBeingRead = false
  /// Answers that wait for the disk, or for something long to be done, and those that are there now.
  var answersAwaited = 0
  let arrived = ArrivedAnswers()
  /// Whether this connection waits for its turn.
  private var turnIsDue = false
  /// Whether it stopped before all lines were begun, for another reason than its turn's end.
  private var linesWait = false
  /// The event loop's time that it has used.
  private var use: RecentUse

  private var readIsWaiting = false
  private var inputHasEnded = false
  var isClosing = false
  var patience = Patience()

  /// - Parameter isBeyondLimit: Whether there are more connections than the limit allows without this
  ///   one. It may make calls of operators then, and is closed after any other.
  init(_ responder: Responder, _ turns: TurnQueue, isBeyondLimit: Bool = false) {
    self.responder = responder
    self.turns = turns
    use = turns.useOfNewcomers
    reader = RequestReader(limits: responder.options.limits)
    caller = responder.beginConnection()
    caller.isBeyondLimit = isBeyondLimit
  }

  // MARK: Turns

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    if isClosing { return }
    lines.append(unwrapInboundIn(data))
    goOnIfNext(context)
  }

  func channelReadComplete(context: ChannelHandlerContext) {
    sendAnswers(context)
    closeIfDone(context)
  }

  /// Works at once, or in a turn where somebody waits who comes before.
  private func goOnIfNext(_ context: ChannelHandlerContext) {
    if turnIsDue { return }
    if turns.wouldBeNext(use) { goOn(context) } else { takeATurn(context) }
  }

  /// Works until nothing is left to do, something has to be waited for, or the turn is over.
  private func goOn(_ context: ChannelHandlerContext) {
    let began = NIODeadline.now()
    caller.turnEnds = began + turns.turn(of: use, now: began)
    linesWait = false
    while !isClosing {
      outbox.stowIfMuch()
      if outbox.hasPieces && context.channel.isWritable {
        sendPiece(context)
      } else if let answer = arrived.next() {
        finish(answer)
      } else if let unfinished {
        goOn(with: unfinished, context)
      } else if mustWait(context) {
        linesWait = true
        break
      } else if batch != nil {
        answerNextOfBatch(context)
      } else if let line = lines.next() {
        patience.lineCame(began)
        answer(line, context)
      } else {
        checkLineWithoutEnd(began, context)
        break
      }
      if NIODeadline.now() >= caller.turnEnds {
        takeATurn(context)
        break
      }
    }
    turns.note(NIODeadline.now() - began, by: &use)
  }

  /// Whether what comes next may not begin yet. What has begun goes on.
  private func mustWait(_ context: ChannelHandlerContext) -> Bool {
    lineIsBeingRead || outbox.hasPieces || !context.channel.isWritable
      || answersAwaited >= responder.options.limits.pipelinedRequestsMax
  }

  private func takeATurn(_ context: ChannelHandlerContext) {
    if turnIsDue { return }
    turnIsDue = true
    turns.add(use) { [self] in
      turnIsDue = false
      goOn(context)
      goneOnLater(context)
    }
  }

  /// Goes on outside of a read, when what was waited for is there.
  func goOnLater(_ context: ChannelHandlerContext) {
    goOnIfNext(context)
    goneOnLater(context)
  }

  private func goneOnLater(_ context: ChannelHandlerContext) {
    sendAnswers(context)
    if readIsWaiting { read(context: context) }
    closeIfDone(context)
  }

  private func sendAnswers(_ context: ChannelHandlerContext) {
    responder.metrics.take(&caller.tally)
    if let answers = outbox.takeWritten() {
      context.writeAndFlush(wrapOutboundOut(answers), promise: nil)
    }
  }

  /// Hands one piece of large answers over.
  private func sendPiece(_ context: ChannelHandlerContext) {
    guard let piece = outbox.nextPiece() else { return }
    context.writeAndFlush(wrapOutboundOut(piece)).assumeIsolated().whenSuccess { [self] in
      patience.answersWereTaken()
    }
  }

  /// The rest is a line that has no end yet.
  private func checkLineWithoutEnd(_ now: NIODeadline, _ context: ChannelHandlerContext) {
    // The beginning of the next request cannot be found any more, so the connection ends.
    do throws(WireError) {
      try refuseLongLine()
      patience.lineBegan(lines.count == 0 ? nil : now)
    } catch {
      responder.metrics.note(.lineTooLong)
      end(error, context)
    }
  }

  private func refuseLongLine() throws(WireError) {
    let limits = responder.options.limits
    // Who has not said who it is has nothing long to say.
    let max =
      caller.principal == nil
      ? min(limits.lineBytesMax, Self.lineBytesAtOnce) : limits.lineBytesMax
    if lines.count > max { throw .limit("line_bytes", max: max, got: lines.count, "the line") }
    if lines.count > Self.lineBytesAtOnce {
      try responder.resources.refuseMemory(forLineOf: lines.count)
    }
  }

  // MARK: The connection

  func read(context: ChannelHandlerContext) {
    // Lines that wait are enough; more are not asked for.
    readIsWaiting = turnIsDue || linesWait || mustWait(context)
    if !readIsWaiting { context.read() }
  }

  func channelWritabilityChanged(context: ChannelHandlerContext) {
    patience.answersAreTaken(context.channel.isWritable)
    // This may be told while answers are handed over, so not at once.
    if context.channel.isWritable && (linesWait || readIsWaiting) { takeATurn(context) }
    context.fireChannelWritabilityChanged()
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    // A client that has sent all it has to send still gets its answers.
    if case .some(ChannelEvent.inputClosed) = event as? ChannelEvent {
      inputHasEnded = true
      sendAnswers(context)
      closeIfDone(context)
    }
    context.fireUserInboundEventTriggered(event)
  }

  /// Whether there is something to do for it, or to wait for.
  var isWorking: Bool {
    turnIsDue || linesWait || lineIsBeingRead || answersAwaited > 0 || unfinished != nil
      || batch != nil || outbox.hasPieces
  }

  private func closeIfDone(_ context: ChannelHandlerContext) {
    if !(inputHasEnded || caller.wasRefused) || isWorking || isClosing { return }
    isClosing = true
    // Not before the last answer is out.
    let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
    let empty = wrapOutboundOut(ByteBuffer())
    context.writeAndFlush(empty).whenComplete { _ in bound.value.close(promise: nil) }
  }

  /// Says why, and closes the connection.
  func end(_ error: WireError, _ context: ChannelHandlerContext) {
    caller.tally.noteError(error.kind)
    outbox.writer.error(.null, error)
    outbox.writer.endLine()
    isClosing = true
    outbox.removePieces()
    responder.free(lines.takeAll())
    sendAnswers(context)
    context.close(promise: nil)
  }

  func channelActive(context: ChannelHandlerContext) {
    caller.peer = Peer.description(of: context.channel)
    responder.metrics.noteOpened()
    responder.logger.info("connection opened", metadata: ["peer": "\(caller.peer)"])
    watch(context)
    context.fireChannelActive()
  }

  func channelInactive(context: ChannelHandlerContext) {
    isClosing = true
    patience.end()
    responder.free(lines.takeAll())
    responder.metrics.noteClosed()
    responder.metrics.take(&caller.tally)
    responder.logger.debug("connection closed", metadata: ["peer": "\(caller.peer)"])
    caller.owner.end()
    responder.closeSessions(of: caller.owner)
    context.fireChannelInactive()
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    responder.logger.debug("connection failed", metadata: ["error": "\(error)"])
    context.close(promise: nil)
  }
}
