import CorpusStore
import Drafting
import Glibc
import Logging
import NIOCore
import WireProtocol

/// Cuts the bytes of one connection into lines and answers them.
///
/// Requests are answered in the handler itself, without a hop to another thread, and flushed once a
/// read; only those that wait for the disk, and long ones, are answered later. A client that does not read its
/// answers is not read from either, until it has, and is cut off where it takes too long.
final class ConnectionHandler: ChannelDuplexHandler {
  typealias InboundIn = ByteBuffer
  typealias OutboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  private let responder: Responder
  private let reader: RequestReader
  private var caller: Caller
  private var writer = JSONWriter()
  /// Bytes of a line that is not complete yet.
  private var partial = ByteBuffer()
  /// How far `partial` has been searched for a newline.
  private var searched = 0
  private var isClosing = false
  /// Answers that wait for the disk, or for something long to be done.
  private var answersAwaited = 0
  /// Long lines that are being read.
  private var longLines = 0
  private var inputHasEnded = false
  private var readIsWaiting = false

  /// When the line that is not complete yet began.
  private var partialBegan: NIODeadline?
  /// When the last complete line came, or the connection.
  private var lastLine = NIODeadline.now()
  private var connected = NIODeadline.now()
  /// Since when answers wait for the client to take earlier ones.
  private var answersBlocked: NIODeadline?
  private var patience: RepeatedTask?

  /// Answers are handed to the channel in pieces of this size at the latest.
  private static let writeBytesMax = 1 << 16
  /// Lines of more bytes are read by another thread: reading so many takes some 0.1 ms.
  private static let lineBytesAtOnce = 1 << 16
  /// Long lines of one connection that may wait for that, because they keep memory.
  private static let longLinesMax = 2

  init(_ responder: Responder) {
    self.responder = responder
    reader = RequestReader(limits: responder.options.limits)
    caller = responder.beginConnection()
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    if isClosing { return }
    var read = unwrapInboundIn(data)
    if partial.readableBytes == 0 {
      partial = read
    } else {
      partial.writeBuffer(&read)
    }
    answerLines(context)
  }

  private func answerLines(_ context: ChannelHandlerContext) {
    var hasLine = false
    while !isClosing {
      guard let length = partial.bytesBefore(UInt8(ascii: "\n"), from: searched) else {
        searched = partial.readableBytes
        break
      }
      searched = 0
      guard let line = partial.readSlice(length: length) else { break }
      partial.moveReaderIndex(forwardBy: 1)
      hasLine = true
      answer(line, context)
    }
    if hasLine { lastLine = .now() }
    if partial.readableBytes == 0 {
      partial.clear()
      partialBegan = nil
    } else if partial.readableBytes > responder.options.limits.lineBytesMax {
      refuseLine(context)
    } else {
      partial.discardReadBytes()
      if hasLine || partialBegan == nil { partialBegan = .now() }
    }
  }

  /// The beginning of the next request cannot be found any more, so the connection ends.
  private func refuseLine(_ context: ChannelHandlerContext) {
    responder.metrics.note(.lineTooLong)
    end(
      .limit(
        "line_bytes", max: responder.options.limits.lineBytesMax, got: partial.readableBytes,
        "the line"), context)
  }

  /// Says why, and closes the connection.
  private func end(_ error: WireError, _ context: ChannelHandlerContext) {
    caller.tally.noteError(error.kind)
    writer.error(.null, error)
    writer.endLine()
    isClosing = true
    partial.clear()
    searched = 0
    flushWriter(context)
    context.flush()
    context.close(promise: nil)
  }

  // MARK: Answers

  /// The answers of a batch, which go out as one array when the last of them is there.
  private final class Batch {
    var answers: [[UInt8]?]
    var awaited: Int

    init(count: Int) {
      answers = [[UInt8]?](repeating: nil, count: count)
      awaited = count
    }
  }

  /// Where an answer belongs.
  private struct Ticket {
    /// nil for a notification, which has no answer.
    var id: RequestID?
    var batch: Batch?
    var position = 0
    /// What was asked for, and since when; nil where it could not be read.
    var method: Method?
    var began = NIODeadline.now()
  }

  private func answer(_ line: ByteBuffer, _ context: ChannelHandlerContext) {
    if line.readableBytes > Self.lineBytesAtOnce {
      readLong(line, context)
    } else {
      answer(reader.read(line), context)
    }
  }

  private func answer(_ requests: RequestLine, _ context: ChannelHandlerContext) {
    switch requests {
    case .one(let request):
      answer(request, in: nil, 0, context)
    case .batch(let requests):
      let batch = Batch(count: requests.count)
      for (position, request) in requests.enumerated() {
        answer(request, in: batch, position, context)
      }
    }
    if writer.count > Self.writeBytesMax { flushWriter(context) }
  }

  /// Has a line read by another thread, and answers it when that has come back. Lines that come
  /// after it are not held up, and may be answered before it.
  private func readLong(_ line: ByteBuffer, _ context: ChannelHandlerContext) {
    answersAwaited += 1
    longLines += 1
    let loop = context.eventLoop
    let bound = NIOLoopBound((handler: self, context: context), eventLoop: loop)
    responder.readLong(line) { requests in
      loop.execute {
        let (handler, context) = bound.value
        handler.answersAwaited -= 1
        handler.longLines -= 1
        handler.answer(requests, context)
        handler.answersLater(context)
      }
    }
  }

  private func answer(
    _ request: Result<Request, BadRequest>, in batch: Batch?, _ position: Int,
    _ context: ChannelHandlerContext
  ) {
    let mark = writer.mark
    switch request {
    case .failure(let bad):
      // What cannot be read may have been a notification or not; silence would help nobody.
      writer.error(bad.id ?? .null, bad.error)
      caller.tally.noteError(bad.error.kind)
      finish(Ticket(id: bad.id ?? .null, batch: batch, position: position), since: mark)
    case .success(let request):
      let ticket = Ticket(
        id: request.id, batch: batch, position: position, method: request.call.method)
      writer.beginResult(request.id ?? .null)
      do throws(WireError) {
        let answer = try responder.respond(to: request.call, &caller, writer: &writer) {
          completion(ticket, context)
        }
        switch answer {
        case .now:
          writer.endResult()
          finish(ticket, since: mark)
        case .later:
          writer.rollBack(to: mark)
          answersAwaited += 1
        }
      } catch {
        writer.rollBack(to: mark)
        writer.error(request.id ?? .null, error)
        caller.tally.noteError(error.kind)
        finish(ticket, since: mark)
      }
    }
  }

  /// Puts the answer that was written since `mark` where it belongs.
  private func finish(_ ticket: Ticket, since mark: JSONWriter.Mark) {
    if let method = ticket.method {
      let nanoseconds = (NIODeadline.now() - ticket.began).nanoseconds
      caller.tally.noteRequest(method, seconds: Double(nanoseconds) * 1e-9)
    }
    guard let batch = ticket.batch else {
      if ticket.id == nil { writer.rollBack(to: mark) } else { writer.endLine() }
      return
    }
    let answer = writer.take(since: mark)
    if ticket.id != nil { batch.answers[ticket.position] = answer }
    batch.awaited -= 1
    if batch.awaited > 0 { return }
    let answers = batch.answers.compactMap { $0 }
    if answers.isEmpty { return }
    writer.beginArray()
    for answer in answers { writer.json(answer) }
    writer.endArray()
    writer.endLine()
  }

  /// What brings an answer that had to wait back to this connection's event loop.
  private func completion(
    _ ticket: Ticket, _ context: ChannelHandlerContext
  ) -> Responder.Completion {
    let loop = context.eventLoop
    let bound = NIOLoopBound((handler: self, context: context, ticket: ticket), eventLoop: loop)
    return { result in
      loop.execute {
        let (handler, context, ticket) = bound.value
        handler.finishLater(ticket, result, context)
      }
    }
  }

  private func finishLater(
    _ ticket: Ticket, _ result: Result<any WireResult, WireError>, _ context: ChannelHandlerContext
  ) {
    answersAwaited -= 1
    let mark = writer.mark
    switch result {
    case .success(let result): writer.result(ticket.id ?? .null, result)
    case .failure(let error):
      writer.error(ticket.id ?? .null, error)
      caller.tally.noteError(error.kind)
    }
    finish(ticket, since: mark)
    answersLater(context)
  }

  /// Sends what was answered outside of a read, and goes on with what waited for it.
  private func answersLater(_ context: ChannelHandlerContext) {
    responder.metrics.take(&caller.tally)
    flushWriter(context)
    context.flush()
    if readIsWaiting { read(context: context) }
    closeIfDone(context)
  }

  private func flushWriter(_ context: ChannelHandlerContext) {
    if writer.count == 0 { return }
    var buffer = context.channel.allocator.buffer(capacity: writer.count)
    unsafe writer.withBytes { _ = unsafe buffer.writeBytes($0) }
    writer.removeAll()
    context.write(wrapOutboundOut(buffer), promise: nil)
  }

  // MARK: The connection

  func channelReadComplete(context: ChannelHandlerContext) {
    responder.metrics.take(&caller.tally)
    flushWriter(context)
    context.flush()
  }

  func read(context: ChannelHandlerContext) {
    // A client that does not read its answers, or has many inserts under way, waits.
    readIsWaiting =
      !context.channel.isWritable || answersAwaited >= responder.options.limits.pipelinedRequestsMax
      || longLines >= Self.longLinesMax
    if !readIsWaiting { context.read() }
  }

  func channelWritabilityChanged(context: ChannelHandlerContext) {
    answersBlocked = context.channel.isWritable ? nil : .now()
    if readIsWaiting { read(context: context) }
    context.fireChannelWritabilityChanged()
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    // A client that has sent all it has to send still gets its answers.
    if case .some(ChannelEvent.inputClosed) = event as? ChannelEvent {
      inputHasEnded = true
      flushWriter(context)
      context.flush()
      closeIfDone(context)
    }
    context.fireUserInboundEventTriggered(event)
  }

  private func closeIfDone(_ context: ChannelHandlerContext) {
    if inputHasEnded && answersAwaited == 0 && !isClosing {
      isClosing = true
      // Not before the last answer is out.
      let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
      let empty = wrapOutboundOut(ByteBuffer())
      context.writeAndFlush(empty).whenComplete { _ in bound.value.close(promise: nil) }
    }
  }

  func channelActive(context: ChannelHandlerContext) {
    caller.peer = Peer.description(of: context.channel)
    responder.metrics.noteOpened()
    responder.logger.info("connection opened", metadata: ["peer": "\(caller.peer)"])
    connected = .now()
    lastLine = connected
    let limits = responder.options.limits
    let shortest = min(limits.lineSecondsMax, limits.answerSecondsMax, limits.idleSecondsMax)
    let period = TimeAmount.milliseconds(min(5000, Int64(shortest) * 250))
    let bound = NIOLoopBound((handler: self, context: context), eventLoop: context.eventLoop)
    patience = context.eventLoop.scheduleRepeatedTask(initialDelay: period, delay: period) { _ in
      bound.value.handler.losePatience(bound.value.context)
    }
    context.fireChannelActive()
  }

  func channelInactive(context: ChannelHandlerContext) {
    patience?.cancel()
    responder.metrics.noteClosed()
    responder.metrics.take(&caller.tally)
    responder.logger.debug("connection closed", metadata: ["peer": "\(caller.peer)"])
    caller.owner.end()
    responder.closeSessions(of: caller.owner)
    context.fireChannelInactive()
  }

  /// Ends a connection that keeps memory and gives nothing for it.
  private func losePatience(_ context: ChannelHandlerContext) {
    if isClosing { return }
    let limits = responder.options.limits
    let now = NIODeadline.now()
    func isLate(_ since: NIODeadline?, _ seconds: Int) -> Bool {
      since.map { now - $0 > .seconds(Int64(seconds)) } ?? false
    }
    if isLate(answersBlocked, limits.answerSecondsMax) {
      // It reads nothing, so it is told nothing.
      responder.metrics.note(.answersNotTaken)
      responder.logger.notice(
        "cut off: it did not take its answers", metadata: ["peer": "\(caller.peer)"])
      isClosing = true
      context.close(promise: nil)
    } else if isLate(partialBegan, limits.lineSecondsMax) {
      responder.metrics.note(.lineTooSlow)
      responder.logger.notice("cut off: its line has no end", metadata: ["peer": "\(caller.peer)"])
      end(
        .limit(
          "line_seconds", max: limits.lineSecondsMax, got: limits.lineSecondsMax + 1,
          "the time since the line began"), context)
    } else if caller.principal == nil && isLate(connected, limits.lineSecondsMax) {
      responder.metrics.note(.noToken)
      responder.logger.notice("cut off: no access token", metadata: ["peer": "\(caller.peer)"])
      end(.tokenNeeded, context)
    } else if answersAwaited == 0 && isLate(lastLine, limits.idleSecondsMax) {
      responder.metrics.note(.idle)
      responder.logger.info("closed: idle", metadata: ["peer": "\(caller.peer)"])
      isClosing = true
      context.close(promise: nil)
    }
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    responder.logger.debug("connection failed", metadata: ["error": "\(error)"])
    context.close(promise: nil)
  }
}

extension ByteBuffer {
  /// How many readable bytes stand before the first one of a value, which is searched for from an
  /// offset on; nil where there is none.
  fileprivate func bytesBefore(_ byte: UInt8, from offset: Int) -> Int? {
    unsafe withUnsafeReadableBytes { bytes in
      guard offset < bytes.count, let base = bytes.baseAddress else { return nil }
      // SAFETY: the search stays inside the readable bytes.
      let found = unsafe memchr(base + offset, Int32(byte), bytes.count - offset)
      return unsafe found.map { unsafe UnsafeRawPointer($0) - base }
    }
  }
}
