import Dispatch
import NIOCore
import WireProtocol

/// From a line to its answer.
extension ConnectionHandler {
  /// Lines of more bytes are read by another thread: reading so many takes some 0.1 ms.
  static let lineBytesAtOnce = 1 << 16

  /// The answers of an array of requests, which go out as one array when the last of them is there.
  final class BatchAnswers {
    fileprivate var answers: [[UInt8]?]
    fileprivate var awaited: Int
    fileprivate var bytes = 0

    fileprivate init(count: Int) {
      answers = [[UInt8]?](repeating: nil, count: count)
      awaited = count
    }
  }

  /// Where an answer belongs: nil for a line of its own.
  typealias Place = (batch: BatchAnswers, position: Int)?

  /// Requests of one line that wait for those before them.
  struct WaitingBatch {
    private let requests: [Result<Request, BadRequest>]
    private let answers: BatchAnswers
    private var position = 0

    fileprivate init(_ requests: [Result<Request, BadRequest>]) {
      self.requests = requests
      answers = BatchAnswers(count: requests.count)
    }

    fileprivate var isEmpty: Bool { position == requests.count }

    /// - Precondition: not empty.
    fileprivate mutating func removeFirst() -> (Result<Request, BadRequest>, Place) {
      defer { position += 1 }
      return (requests[position], (answers, position))
    }
  }

  /// What an answer is known by.
  struct Ticket {
    /// nil for a notification, which has no answer.
    var id: RequestID?
    var place: Place
    /// What was asked for, and since when; nil where it could not be read.
    var method: Method?
    var began = NIODeadline.now()
  }

  /// A request whose turn was over before its drafts were all made, and what is written of its answer.
  final class Unfinished {
    fileprivate var run: DraftRun
    fileprivate let ticket: Ticket
    fileprivate var writer = JSONWriter()

    fileprivate init(_ run: DraftRun, _ ticket: Ticket, written: [UInt8]) {
      self.run = run
      self.ticket = ticket
      writer.json(written)
    }
  }

  func answer(_ line: Line, _ context: ChannelHandlerContext) {
    if line.count > Self.lineBytesAtOnce {
      readLong(line, context)
    } else {
      answer(reader.read(line.joined()), context)
    }
  }

  /// Has a line read by another thread. Those after it wait, so that calls begin in their order.
  private func readLong(_ line: Line, _ context: ChannelHandlerContext) {
    lineIsBeingRead = true
    let loop = context.eventLoop
    let bound = NIOLoopBound((handler: self, context: context), eventLoop: loop)
    let work = WorkElsewhere(responder.workElsewhere)
    responder.readLong(line) { requests in
      withExtendedLifetime(work) {
        loop.execute {
          let (handler, context) = bound.value
          handler.lineIsBeingRead = false
          if handler.isClosing { return }
          handler.answer(requests, context)
          handler.goOnLater(context)
        }
      }
    }
  }

  private func answer(_ requests: RequestLine, _ context: ChannelHandlerContext) {
    switch requests {
    case .one(let request): answer(request, nil, context)
    case .batch(let requests): batch = WaitingBatch(requests)
    }
  }

  /// Answers the next request of the array that waits.
  func answerNextOfBatch(_ context: ChannelHandlerContext) {
    guard let (request, place) = batch?.removeFirst() else { return }
    if batch?.isEmpty == true { batch = nil }
    answer(request, place, context)
  }

  private func answer(
    _ request: Result<Request, BadRequest>, _ place: Place, _ context: ChannelHandlerContext
  ) {
    let mark = writer.mark
    switch request {
    case .failure(let bad):
      // What cannot be read may have been a notification or not; silence would help nobody.
      writer.error(bad.id ?? .null, bad.error)
      caller.tally.noteError(bad.error.kind)
      finish(Ticket(id: bad.id ?? .null, place: place), since: mark)
    case .success(let request):
      let ticket = Ticket(id: request.id, place: place, method: request.call.method)
      writer.beginResult(request.id ?? .null)
      do throws(WireError) {
        if let place { try caller.refuseBeyondLimit(answerBytes: place.batch.bytes) }
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
        case .inTurns(let run):
          unfinished = Unfinished(run, ticket, written: writer.take(since: mark))
        }
      } catch {
        writer.rollBack(to: mark)
        writer.error(request.id ?? .null, error)
        caller.tally.noteError(error.kind)
        finish(ticket, since: mark)
      }
    }
    if writer.count > Self.writeBytesMax { flushWriter(context) }
  }

  /// Makes more drafts of a request that has begun.
  func goOn(with unfinished: Unfinished, _ context: ChannelHandlerContext) {
    guard unfinished.run.goOn(&caller, &unfinished.writer) else { return }
    unfinished.writer.endResult()
    self.unfinished = nil
    // It may be large, so it is not copied to what is written, but written behind that.
    flushWriter(context)
    let mark = writer.mark
    swap(&writer, &unfinished.writer)
    finish(unfinished.ticket, since: mark)
    flushWriter(context)
  }

  /// Puts the answer that was written since `mark` where it belongs.
  private func finish(_ ticket: Ticket, since mark: JSONWriter.Mark) {
    if let method = ticket.method {
      let nanoseconds = (NIODeadline.now() - ticket.began).nanoseconds
      caller.tally.noteRequest(method, seconds: Double(nanoseconds) * 1e-9)
    }
    guard let (batch, position) = ticket.place else {
      if ticket.id == nil { writer.rollBack(to: mark) } else { writer.endLine() }
      return
    }
    let answer = writer.take(since: mark)
    if ticket.id != nil { batch.answers[position] = answer }
    batch.bytes += answer.count
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
    let work = WorkElsewhere(responder.workElsewhere)
    return { result in
      withExtendedLifetime(work) {
        loop.execute {
          let (handler, context, ticket) = bound.value
          handler.finishLater(ticket, result, context)
        }
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
    goOnLater(context)
  }
}

/// Something that another thread does and comes back with, or not: a call may be refused after its
/// completion was made. It is over when nobody holds it any more.
private final class WorkElsewhere: Sendable {
  private let group: DispatchGroup

  init(_ group: DispatchGroup) {
    self.group = group
    group.enter()
  }

  deinit { group.leave() }
}
