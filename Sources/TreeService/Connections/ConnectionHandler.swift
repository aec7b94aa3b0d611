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
  /// Answers that are not handed to the channel yet.
  var writer = JSONWriter()
  private var lines = LineBuffer()

  // What keeps lines waiting that are there already.

  /// A request whose drafts are not all made.
  var unfinished: Unfinished?
  /// Requests of an array that are not begun.
  var batch: WaitingBatch?
  /// Whether another thread reads a line.
  var lineIsBeingRead = false
  /// Answers that wait for the disk, or for something long to be done.
  var answersAwaited = 0
  /// Whether this connection waits for its turn.
  private var turnIsDue = false
  /// Whether it stopped before all lines were begun, for another reason than its turn's end.
  private var linesWait = false

  private var readIsWaiting = false
  private var inputHasEnded = false
  var isClosing = false
  var patience = Patience()

  /// For so long a connection works while others wait: that much later they may be served. A step of
  /// 64 sessions takes some three of them.
  private static let turn = TimeAmount.microseconds(200)
  /// Answers are handed to the channel in pieces of this size at the latest.
  static let writeBytesMax = 1 << 16
  private static let pieceBytes = 1 << 18

  init(_ responder: Responder, _ turns: TurnQueue) {
    self.responder = responder
    self.turns = turns
    reader = RequestReader(limits: responder.options.limits)
    caller = responder.beginConnection()
  }

  // MARK: Turns

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    if isClosing { return }
    lines.append(unwrapInboundIn(data))
    if !turnIsDue { goOn(context) }
  }

  func channelReadComplete(context: ChannelHandlerContext) {
    sendAnswers(context)
  }

  /// Works until nothing is left to do, something has to be waited for, or the turn is over.
  private func goOn(_ context: ChannelHandlerContext) {
    let now = NIODeadline.now()
    caller.turnEnds = now + Self.turn
    linesWait = false
    while !isClosing {
      if let unfinished {
        goOn(with: unfinished, context)
      } else if mustWait(context) {
        linesWait = true
        break
      } else if batch != nil {
        answerNextOfBatch(context)
      } else if let line = lines.next() {
        patience.lineCame(now)
        answer(line, context)
      } else {
        checkLineWithoutEnd(now, context)
        break
      }
      if NIODeadline.now() >= caller.turnEnds {
        takeAnotherTurn(context)
        break
      }
    }
  }

  /// Whether what comes next may not begin yet. What has begun goes on.
  private func mustWait(_ context: ChannelHandlerContext) -> Bool {
    lineIsBeingRead || !context.channel.isWritable
      || answersAwaited >= responder.options.limits.pipelinedRequestsMax
  }

  private func takeAnotherTurn(_ context: ChannelHandlerContext) {
    turnIsDue = true
    turns.add { [self] in
      turnIsDue = false
      goOnLater(context)
    }
  }

  /// Goes on outside of a read, when what was waited for is there.
  func goOnLater(_ context: ChannelHandlerContext) {
    if !turnIsDue { goOn(context) }
    sendAnswers(context)
    if readIsWaiting { read(context: context) }
    closeIfDone(context)
  }

  private func sendAnswers(_ context: ChannelHandlerContext) {
    responder.metrics.take(&caller.tally)
    flushWriter(context)
    context.flush()
  }

  func flushWriter(_ context: ChannelHandlerContext) {
    if writer.count == 0 { return }
    var buffer = context.channel.allocator.buffer(capacity: writer.count)
    unsafe writer.withBytes { _ = unsafe buffer.writeBytes($0) }
    if writer.count > Self.writeBytesMax {
      // What a large answer took is not kept for the next one.
      writer = JSONWriter()
      writePieces(&buffer, context)
    } else {
      writer.removeAll()
      context.write(wrapOutboundOut(buffer), promise: nil)
    }
  }

  /// Writes a large answer in pieces, to know that a client takes it, however slowly.
  private func writePieces(_ buffer: inout ByteBuffer, _ context: ChannelHandlerContext) {
    while let piece = buffer.readSlice(length: min(Self.pieceBytes, buffer.readableBytes)),
      piece.readableBytes > 0
    {
      context.write(wrapOutboundOut(piece)).assumeIsolated().whenSuccess { [self] in
        patience.answersWereTaken()
      }
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
    if lines.count > Self.lineBytesAtOnce { try responder.resources.refuseMemory(limits) }
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
    if context.channel.isWritable && (linesWait || readIsWaiting) && !turnIsDue {
      takeAnotherTurn(context)
    }
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
      || batch != nil
  }

  private func closeIfDone(_ context: ChannelHandlerContext) {
    if !inputHasEnded || isWorking || isClosing { return }
    isClosing = true
    // Not before the last answer is out.
    let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
    let empty = wrapOutboundOut(ByteBuffer())
    context.writeAndFlush(empty).whenComplete { _ in bound.value.close(promise: nil) }
  }

  /// Says why, and closes the connection.
  func end(_ error: WireError, _ context: ChannelHandlerContext) {
    caller.tally.noteError(error.kind)
    writer.error(.null, error)
    writer.endLine()
    isClosing = true
    lines.removeAll()
    flushWriter(context)
    context.flush()
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
