import Logging
import NIOCore
import RepriseModel
import WireProtocol

/// Divides the bytes of one connection into lines and has their requests answered.
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

  let transport: LineTransport
  let runner: RequestRunner
  let isBeyondLimit: Bool
  private let reader: RequestReader
  private let queue: UsageQueue
  private var lines = LineBuffer()

  /// True while another thread reads a line. Later lines wait, so that calls begin in their order.
  private var lineIsBeingRead = false
  /// True if this connection waits for its next quantum.
  private var isQueued = false
  /// True if processing stopped with lines still queued because of backpressure rather than an
  /// expired quantum.
  private var linesWait = false
  /// True if no more bytes are read until there is memory for the line that they continue.
  private(set) var memoryIsAwaited = false
  /// The event loop's time that this connection has used.
  private var use: RecentUse

  private var readIsWaiting = false
  private var inputHasEnded = false
  private(set) var isClosing = false
  var patience: Patience
  private var watch: RepeatedTask?

  /// - Parameter isBeyondLimit: True if the limit of connections is reached without this one. It
  ///   may then make calls of operators, and is closed after any other.
  init(
    _ transport: LineTransport, _ queue: UsageQueue, on loop: any EventLoop,
    isBeyondLimit: Bool = false
  ) {
    self.transport = transport
    self.queue = queue
    self.isBeyondLimit = isBeyondLimit
    use = queue.useOfNewcomers
    reader = RequestReader(limits: transport.application.limits)
    runner = RequestRunner(transport, on: loop, isBeyondLimit: isBeyondLimit)
    patience = Patience(loop.now)
  }

  // MARK: Quanta

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    if isClosing { return }
    lines.append(unwrapInboundIn(data))
    workWhenNext(context)
  }

  func channelReadComplete(context: ChannelHandlerContext) {
    sendAnswers(context)
    closeIfDone(context)
  }

  /// Works at once, or in a later quantum if a waiting connection has priority.
  private func workWhenNext(_ context: ChannelHandlerContext) {
    if isQueued { return }
    if queue.wouldBeNext(use) { work(context) } else { enqueue(context) }
  }

  /// Works for one quantum, or until nothing is left to do, or something must be waited for.
  private func work(_ context: ChannelHandlerContext) {
    let began = NIODeadline.now()
    let quantumEnds = began + queue.quantum(of: use, now: began)
    // The event loop's clock, which tests set.
    let now = context.eventLoop.now
    linesWait = false
    while !isClosing {
      guard doNext(until: quantumEnds, now, context) else { break }
      if NIODeadline.now() >= quantumEnds {
        enqueue(context)
        break
      }
    }
    queue.note(NIODeadline.now() - began, by: &use)
  }

  /// Does one piece of work: answers go out before requests that have begun continue, and those
  /// before others begin. Returns false if there is none, or it must wait.
  private func doNext(
    until quantumEnds: NIODeadline, _ now: NIODeadline, _ context: ChannelHandlerContext
  ) -> Bool {
    runner.outbox.stowIfMuch()
    if runner.outbox.hasPieces && context.channel.isWritable {
      sendPiece(context)
      return true
    }
    if runner.goOn(until: quantumEnds) { return true }
    if mustWait(context) {
      linesWait = true
      return false
    }
    if runner.beginNextOfBatch(until: quantumEnds) { return true }
    guard let line = lines.next() else {
      checkLineWithoutEnd(now, context)
      return false
    }
    patience.lineCame(now)
    begin(line, until: quantumEnds, context)
    return true
  }

  /// True if the next request may not begin yet. Requests that have begun continue.
  private func mustWait(_ context: ChannelHandlerContext) -> Bool {
    lineIsBeingRead || runner.outbox.hasPieces || !context.channel.isWritable
      || runner.awaited >= transport.application.limits.pipelinedRequestsMax
  }

  /// Works in a later quantum.
  private func enqueue(_ context: ChannelHandlerContext) {
    if isQueued { return }
    isQueued = true
    queue.add(use) { [self] in
      isQueued = false
      work(context)
      settle(context)
    }
  }

  /// Continues outside of a read, when the awaited event has happened.
  private func resume(_ context: ChannelHandlerContext) {
    workWhenNext(context)
    settle(context)
  }

  /// Sends answers, and asks for further bytes, after work outside of a read.
  private func settle(_ context: ChannelHandlerContext) {
    sendAnswers(context)
    if readIsWaiting { read(context: context) }
    closeIfDone(context)
  }

  // MARK: Lines

  /// Bytes of lines that have not begun.
  var bytesOfLines: Int { lines.count }

  private func begin(_ line: Line, until quantumEnds: NIODeadline, _ context: ChannelHandlerContext)
  {
    if let refusal = reader.refusal(ofBytes: line.count) {
      runner.begin(refusal, until: quantumEnds)
    } else if line.count > Service.eventLoopLineBytes {
      readLong(line, context)
    } else {
      runner.begin(reader.read(line.joined()), until: quantumEnds)
    }
  }

  /// Has a line read by another thread.
  private func readLong(_ line: Line, _ context: ChannelHandlerContext) {
    lineIsBeingRead = true
    let completion = { [self] (requests: RequestLine) in
      lineIsBeingRead = false
      if isClosing { return }
      // Outside of a quantum, so that the first request alone begins at once.
      runner.begin(requests, until: .now())
      resume(context)
    }
    transport.readLong(line, NIOLoopBound(completion, eventLoop: context.eventLoop))
  }

  /// Checks the rest, which is a line without an end.
  private func checkLineWithoutEnd(_ now: NIODeadline, _ context: ChannelHandlerContext) {
    let application = transport.application
    // A client that has not authenticated has no reason for long lines.
    let max =
      runner.caller.principal == nil
      ? min(application.limits.lineBytesMax, Service.eventLoopLineBytes)
      : application.limits.lineBytesMax
    if lines.count > max {
      // The beginning of the next request cannot be found any more, so the connection ends.
      note(.lineTooLong, .notice, "cut off: its line is too long")
      end(.limit(.lineBytes, max: max, got: lines.count, "the line"), context)
      return
    }
    patience.lineBegan(lines.count == 0 ? nil : now)
    if lines.count > Service.eventLoopLineBytes && !application.resources.hasMemoryForLines {
      awaitMemory(context)
    }
  }

  /// The time after which memory for a line is looked for again.
  private static let memoryPeriod = TimeAmount.milliseconds(50)

  /// Reads no more of a line until there is memory for it. The line must still end in time.
  private func awaitMemory(_ context: ChannelHandlerContext) {
    if memoryIsAwaited { return }
    memoryIsAwaited = true
    let bound = NIOLoopBound((handler: self, context: context), eventLoop: context.eventLoop)
    context.eventLoop.scheduleTask(in: Self.memoryPeriod) {
      let (handler, context) = bound.value
      handler.memoryIsAwaited = false
      if !handler.isClosing { handler.resume(context) }
    }
  }

  // MARK: Answers

  private func sendAnswers(_ context: ChannelHandlerContext) {
    transport.application.metrics.take(&runner.caller.tally)
    if let answers = runner.outbox.takeWritten() {
      context.writeAndFlush(wrapOutboundOut(answers), promise: nil)
    }
  }

  /// Passes one piece of large answers to the channel.
  private func sendPiece(_ context: ChannelHandlerContext) {
    guard let piece = runner.outbox.nextPiece() else { return }
    let loop = context.eventLoop
    context.writeAndFlush(wrapOutboundOut(piece)).assumeIsolated().whenSuccess { [self] in
      patience.answersWereTaken(loop.now)
    }
  }

  // MARK: The connection

  func read(context: ChannelHandlerContext) {
    // Waiting lines are enough; no more bytes are read.
    readIsWaiting = isQueued || linesWait || memoryIsAwaited || mustWait(context)
    if !readIsWaiting { context.read() }
  }

  func channelWritabilityChanged(context: ChannelHandlerContext) {
    patience.answersAreTaken(context.channel.isWritable, context.eventLoop.now)
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
    isQueued || linesWait || lineIsBeingRead || runner.isWorking || runner.outbox.hasPieces
  }

  private func closeIfDone(_ context: ChannelHandlerContext) {
    if !(inputHasEnded || runner.wasRefused) || isWorking || isClosing { return }
    isClosing = true
    // Only after the last answer was sent.
    let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
    let empty = wrapOutboundOut(ByteBuffer())
    context.writeAndFlush(empty).whenComplete { _ in bound.value.close(promise: nil) }
  }

  /// Sends the error, and closes the connection.
  func end(_ error: WireError, _ context: ChannelHandlerContext) {
    runner.caller.tally.noteError(error.kind)
    runner.outbox.writer.error(.null, error)
    runner.outbox.writer.endLine()
    isClosing = true
    runner.outbox.removePieces()
    transport.free(lines.takeAll())
    sendAnswers(context)
    context.close(promise: nil)
  }

  /// Closes the connection without an answer.
  func close(_ context: ChannelHandlerContext) {
    isClosing = true
    context.close(promise: nil)
  }

  func channelActive(context: ChannelHandlerContext) {
    runner.caller.peer = Peer.description(of: context.channel)
    runner.onArrival = { [weak self] in self?.resume(context) }
    transport.application.metrics.noteOpened()
    transport.logger.info("connection opened", metadata: ["peer": "\(runner.caller.peer)"])
    watch = watch(context)
    context.fireChannelActive()
  }

  func channelInactive(context: ChannelHandlerContext) {
    isClosing = true
    watch?.cancel()
    runner.onArrival = {}
    transport.free(lines.takeAll())
    let application = transport.application
    application.metrics.noteClosed()
    application.metrics.take(&runner.caller.tally)
    transport.logger.debug("connection closed", metadata: ["peer": "\(runner.caller.peer)"])
    runner.caller.owner.end()
    application.sessions.close(of: runner.caller.owner)
    context.fireChannelInactive()
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    transport.logger.debug("connection failed", metadata: ["error": "\(error)"])
    context.close(promise: nil)
  }
}
