import Logging
import NIOCore
import RepriseModel
import WireProtocol

/// Divides the bytes of one connection into lines and answers them.
///
/// Requests are answered in the handler itself, without a hop to another thread, and flushed once a
/// read; only those that wait for the disk, and long ones, are answered later. They begin in the
/// order in which they came. A connection works for at most one quantum before others of its event
/// loop are served. If a client does not read its answers, its requests are not read either until
/// it does, and it is disconnected if it takes too long.
final class ConnectionHandler: ChannelDuplexHandler {
  typealias InboundIn = ByteBuffer
  typealias OutboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  let responder: Responder
  let reader: RequestReader
  private let queue: UsageQueue
  var caller: Caller
  var outbox = Outbox()
  private var lines = LineBuffer()

  // Reasons for lines that have arrived to wait.

  /// A request whose drafts are not complete.
  var unfinished: Unfinished?
  /// Requests of an array that have not begun.
  var batch: WaitingBatch?
  /// True while another thread reads a line.
  var lineIsBeingRead = false
  /// The number of answers that wait for the disk or for long work, and of those that have arrived.
  var answersAwaited = 0
  let arrived = ArrivedAnswers()
  /// True if this connection waits for its next quantum.
  private var isQueued = false
  /// True if processing stopped with lines still queued because of backpressure rather than an
  /// expired quantum.
  private var linesWait = false
  /// The event loop's time that this connection has used.
  private var use: RecentUse

  private var readIsWaiting = false
  private var inputHasEnded = false
  var isClosing = false
  var patience = Patience()

  /// - Parameter isBeyondLimit: True if the limit of connections is reached without this one. It
  ///   may then make calls of operators, and is closed after any other.
  init(_ responder: Responder, _ queue: UsageQueue, isBeyondLimit: Bool = false) {
    self.responder = responder
    self.queue = queue
    use = queue.useOfNewcomers
    reader = RequestReader(limits: responder.options.limits)
    caller = responder.beginConnection()
    caller.isBeyondLimit = isBeyondLimit
  }

  // MARK: Quanta

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    if isClosing { return }
    lines.append(unwrapInboundIn(data))
    goOnIfNext(context)
  }

  func channelReadComplete(context: ChannelHandlerContext) {
    sendAnswers(context)
    closeIfDone(context)
  }

  /// Works at once, or in a later quantum if a waiting connection has priority.
  private func goOnIfNext(_ context: ChannelHandlerContext) {
    if isQueued { return }
    if queue.wouldBeNext(use) { goOn(context) } else { enqueue(context) }
  }

  /// Works until nothing is left to do, something must be waited for, or the quantum is over.
  private func goOn(_ context: ChannelHandlerContext) {
    let began = NIODeadline.now()
    caller.quantumEnds = began + queue.quantum(of: use, now: began)
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
      if NIODeadline.now() >= caller.quantumEnds {
        enqueue(context)
        break
      }
    }
    queue.note(NIODeadline.now() - began, by: &use)
  }

  /// True if the next request may not begin yet. Requests that have begun continue.
  private func mustWait(_ context: ChannelHandlerContext) -> Bool {
    lineIsBeingRead || outbox.hasPieces || !context.channel.isWritable
      || answersAwaited >= responder.options.limits.pipelinedRequestsMax
  }

  private func enqueue(_ context: ChannelHandlerContext) {
    if isQueued { return }
    isQueued = true
    queue.add(use) { [self] in
      isQueued = false
      goOn(context)
      goneOnLater(context)
    }
  }

  /// Continues outside of a read, when the awaited event has happened.
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

  /// Passes one piece of large answers to the channel.
  private func sendPiece(_ context: ChannelHandlerContext) {
    guard let piece = outbox.nextPiece() else { return }
    context.writeAndFlush(wrapOutboundOut(piece)).assumeIsolated().whenSuccess { [self] in
      patience.answersWereTaken()
    }
  }

  /// Checks the rest, which is a line without an end.
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
    // A client that has not authenticated has no reason for long lines.
    let max =
      caller.principal == nil
      ? min(limits.lineBytesMax, Self.lineBytesAtOnce) : limits.lineBytesMax
    if lines.count > max { throw .limit(.lineBytes, max: max, got: lines.count, "the line") }
    if lines.count > Self.lineBytesAtOnce {
      try responder.resources.refuseMemory(forLineOf: lines.count)
    }
  }

  // MARK: The connection

  func read(context: ChannelHandlerContext) {
    // Waiting lines are enough; no more bytes are read.
    readIsWaiting = isQueued || linesWait || mustWait(context)
    if !readIsWaiting { context.read() }
  }

  func channelWritabilityChanged(context: ChannelHandlerContext) {
    patience.answersAreTaken(context.channel.isWritable)
    // This may be called while answers are being sent, so work begins later.
    if context.channel.isWritable && (linesWait || readIsWaiting) { enqueue(context) }
    context.fireChannelWritabilityChanged()
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    // A client that has finished sending still gets its answers.
    if case .some(ChannelEvent.inputClosed) = event as? ChannelEvent {
      inputHasEnded = true
      sendAnswers(context)
      closeIfDone(context)
    }
    context.fireUserInboundEventTriggered(event)
  }

  /// True if there is work for the connection, or an awaited event.
  var isWorking: Bool {
    isQueued || linesWait || lineIsBeingRead || answersAwaited > 0 || unfinished != nil
      || batch != nil || outbox.hasPieces
  }

  private func closeIfDone(_ context: ChannelHandlerContext) {
    if !(inputHasEnded || caller.wasRefused) || isWorking || isClosing { return }
    isClosing = true
    // Only after the last answer was sent.
    let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
    let empty = wrapOutboundOut(ByteBuffer())
    context.writeAndFlush(empty).whenComplete { _ in bound.value.close(promise: nil) }
  }

  /// Sends the error, and closes the connection.
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
