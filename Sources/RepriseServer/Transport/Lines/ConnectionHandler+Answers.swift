import Concurrency
import NIOCore
import RepriseModel
import WireProtocol

/// The path from a line to its answer.
extension ConnectionHandler {
  /// Longer lines are read by another thread: reading this many bytes takes half a quantum. A step
  /// of 64 sessions has 4 to 7 KB.
  static let lineBytesAtOnce = 1 << 14

  /// The answers of an array of requests, in the requests' order, which are sent as one array when
  /// the last of them is ready. They are joined as they arrive, because joining a thousand at once
  /// would take a quantum. Answers that wait for an earlier one stay separate.
  final class BatchAnswers {
    private let count: Int
    /// The number of answers in the line so far.
    private var written = 0
    /// Answers that wait for an earlier one.
    private var early: [Int: [ByteBuffer]] = [:]
    private var line = [ByteBuffer(string: "[")]
    private var isEmpty = true
    fileprivate private(set) var bytes = 0

    fileprivate init(count: Int) {
      self.count = count
    }

    /// Returns the line of all answers if this is the last one and there are any.
    ///
    /// - Parameter answer: The answer in pieces; none for a notification.
    fileprivate func put(_ answer: [ByteBuffer], at position: Int) -> [ByteBuffer]? {
      bytes += answer.reduce(0) { $0 + $1.readableBytes }
      early[position] = answer
      while let next = early.removeValue(forKey: written) {
        written += 1
        if next.isEmpty { continue }
        let wasEarly = written - 1 > position
        if !isEmpty { write(Self.comma, asItIs: wasEarly) }
        isEmpty = false
        for piece in next { write(piece, asItIs: wasEarly) }
      }
      if written < count || isEmpty { return nil }
      line.append(ByteBuffer(string: "]"))
      return line
    }

    private static let comma = ByteBuffer(string: ",")

    private func write(_ piece: ByteBuffer, asItIs: Bool) {
      let bytes = line[line.count - 1].readableBytes + piece.readableBytes
      if asItIs || bytes > Outbox.pieceBytes {
        line.append(piece)
      } else {
        line[line.count - 1].writeImmutableBuffer(piece)
      }
    }
  }

  /// The place of an answer: nil for a line of its own.
  typealias Place = (batch: BatchAnswers, position: Int)?

  /// Requests of one line that wait for earlier ones.
  struct WaitingBatch {
    /// In reverse order, so that each is freed when it has been answered.
    private var requests: [Result<Request, BadRequest>]
    private let answers: BatchAnswers
    private var position = 0

    fileprivate init(_ requests: [Result<Request, BadRequest>]) {
      self.requests = requests.reversed()
      answers = BatchAnswers(count: requests.count)
    }

    fileprivate var isEmpty: Bool { requests.isEmpty }

    /// - Precondition: not empty.
    fileprivate mutating func removeFirst() -> (Result<Request, BadRequest>, Place) {
      defer { position += 1 }
      return (requests.removeLast(), (answers, position))
    }
  }

  /// The identification of an answer.
  struct Ticket {
    /// nil for a notification, which has no answer.
    var id: RequestID?
    var place: Place
    /// The method of the request and its start; nil if it could not be read.
    var method: Method?
    var began = NIODeadline.now()
  }

  /// A request whose quantum ended before its drafts were complete, and its answer so far.
  final class Unfinished {
    fileprivate var run: DraftRun
    fileprivate let ticket: Ticket
    /// The answer so far, except for the bytes in the writer.
    fileprivate var pieces: [ByteBuffer] = []
    fileprivate var writer = JSONWriter()

    fileprivate init(_ run: DraftRun, _ ticket: Ticket, written: ByteBuffer) {
      self.run = run
      self.ticket = ticket
      writer.json(Array(written.readableBytesView))
    }
  }

  func answer(_ line: Line, _ context: ChannelHandlerContext) {
    if let refusal = reader.refusal(ofBytes: line.count) {
      answer(refusal, context)
    } else if line.count > Self.lineBytesAtOnce {
      readLong(line, context)
    } else {
      answer(reader.read(line.joined()), context)
    }
  }

  /// Has a line read by another thread. Later lines wait, so that calls begin in their order.
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

  /// Answers the next request of the waiting array.
  func answerNextOfBatch(_ context: ChannelHandlerContext) {
    guard let (request, place) = batch?.removeFirst() else { return }
    if batch?.isEmpty == true { batch = nil }
    answer(request, place, context)
  }

  private func answer(
    _ request: Result<Request, BadRequest>, _ place: Place, _ context: ChannelHandlerContext
  ) {
    let mark = outbox.writer.mark
    switch request {
    case .failure(let bad):
      // A request that cannot be read may have been a notification; an answer is more useful than
      // silence.
      outbox.writer.error(bad.id ?? .null, bad.error)
      caller.tally.noteError(bad.error.kind)
      finish(Ticket(id: bad.id ?? .null, place: place), since: mark)
    case .success(let request):
      let ticket = Ticket(id: request.id, place: place, method: request.call.method)
      outbox.writer.beginResult(request.id ?? .null)
      do throws(WireError) {
        if let place { try caller.refuseBeyondLimit(answerBytes: place.batch.bytes) }
        let answer = try responder.respond(to: request.call, &caller, writer: &outbox.writer) {
          completion(ticket, context)
        }
        switch answer {
        case .now:
          outbox.writer.endResult()
          finish(ticket, since: mark)
        case .later:
          outbox.writer.rollBack(to: mark)
          answersAwaited += 1
        case .interrupted(let run):
          unfinished = Unfinished(run, ticket, written: outbox.writer.take(since: mark))
        }
      } catch {
        outbox.writer.rollBack(to: mark)
        outbox.writer.error(request.id ?? .null, error)
        caller.tally.noteError(error.kind)
        finish(ticket, since: mark)
      }
    }
  }

  /// Computes more drafts of a request that has begun.
  func goOn(with unfinished: Unfinished, _ context: ChannelHandlerContext) {
    let isDone = unfinished.run.goOn(&caller, &unfinished.writer)
    if isDone { unfinished.writer.endResult() }
    if isDone || unfinished.writer.count > Outbox.pieceBytes {
      unfinished.pieces.append(unfinished.writer.takeAll())
    }
    if !isDone { return }
    self.unfinished = nil
    finish(unfinished.ticket, unfinished.pieces)
  }

  // MARK: The place of answers

  /// Delivers the answer that was written since `mark`.
  private func finish(_ ticket: Ticket, since mark: JSONWriter.Mark) {
    if ticket.place != nil { return finish(ticket, [outbox.writer.take(since: mark)]) }
    note(ticket)
    if ticket.id == nil { outbox.writer.rollBack(to: mark) } else { outbox.writer.endLine() }
  }

  /// Delivers an answer that was written elsewhere.
  private func finish(_ ticket: Ticket, _ answer: [ByteBuffer]) {
    note(ticket)
    guard let (batch, position) = ticket.place else {
      if ticket.id != nil { outbox.add(line: answer) }
      return
    }
    if let line = batch.put(ticket.id == nil ? [] : answer, at: position) { outbox.add(line: line) }
  }

  private func note(_ ticket: Ticket) {
    guard let method = ticket.method else { return }
    let nanoseconds = (NIODeadline.now() - ticket.began).nanoseconds
    caller.tally.noteRequest(method, seconds: Double(nanoseconds) * 1e-9)
  }

  // MARK: Answers that had to wait

  /// Answers that other threads have delivered, in order. Those of a thousand inserts arrive at
  /// once.
  final class ArrivedAnswers: Sendable {
    typealias Answer = (
      ticket: NIOLoopBound<Ticket>, result: Result<any WireResult, WireError>
    )
    private let answers = Locked(CircularBuffer<Answer>())

    /// Adds an answer. Returns true if it is the first, so that the receiver must be notified.
    fileprivate func add(_ answer: Answer) -> Bool {
      answers.withLock { answers in
        answers.append(answer)
        return answers.count == 1
      }
    }

    func next() -> Answer? { answers.withLock { $0.popFirst() } }
  }

  /// Returns the callback that brings a late answer back to this connection's event loop.
  private func completion(
    _ ticket: Ticket, _ context: ChannelHandlerContext
  ) -> Responder.Completion {
    let loop = context.eventLoop
    let bound = NIOLoopBound((handler: self, context: context), eventLoop: loop)
    let ticket = NIOLoopBound(ticket, eventLoop: loop)
    let work = WorkElsewhere(responder.workElsewhere)
    return { [arrived] result in
      withExtendedLifetime(work) {
        guard arrived.add((ticket, result)) else { return }
        loop.execute {
          let (handler, context) = bound.value
          handler.goOnLater(context)
        }
      }
    }
  }

  /// Delivers an answer that has arrived.
  func finish(_ arrived: ArrivedAnswers.Answer) {
    answersAwaited -= 1
    let ticket = arrived.ticket.value
    let mark = outbox.writer.mark
    switch arrived.result {
    case .success(let result): outbox.writer.result(ticket.id ?? .null, result)
    case .failure(let error):
      outbox.writer.error(ticket.id ?? .null, error)
      caller.tally.noteError(error.kind)
    }
    finish(ticket, since: mark)
  }
}

/// Work of another thread that will report back, or not: a call may be refused after its completion
/// was created. The work is over when nothing refers to it any more.
private final class WorkElsewhere: Sendable {
  private let group: CompletionGroup

  init(_ group: CompletionGroup) {
    self.group = group
    group.enter()
  }

  deinit { group.leave() }
}
