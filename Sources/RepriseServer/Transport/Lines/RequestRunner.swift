import Logging
import NIOCore
import RepriseModel
import WireProtocol

/// Runs the requests of one connection, and writes their answers to an outbox.
///
/// Requests begin in the order in which they came. It knows neither the channel nor the lines whose
/// requests have not begun. Used on the connection's event loop alone.
final class RequestRunner {
  private let transport: LineTransport
  private let application: Application
  private let loop: any EventLoop
  /// True if the limit of connections is reached without this one.
  private let isBeyondLimit: Bool
  /// True if a connection beyond the limit has made a call that is not for operators. It is closed
  /// when that is answered.
  private(set) var wasRefused = false

  var caller: Caller
  var outbox = Outbox()
  /// Called on the event loop when awaited answers have arrived.
  var onArrival: () -> Void = {}

  /// An answer that is not complete.
  private var unfinished: Unfinished?
  /// Requests of an array that have not begun.
  private var batch: WaitingBatch?
  /// The number of answers that other threads will give, and of those that have arrived.
  private(set) var awaited = 0
  private let arrived = ArrivedAnswers()

  init(_ transport: LineTransport, on loop: any EventLoop, isBeyondLimit: Bool) {
    self.transport = transport
    application = transport.application
    self.loop = loop
    self.isBeyondLimit = isBeyondLimit
    caller = application.newCaller()
  }

  /// True if requests have begun whose answers are not in the outbox, or wait behind such a request.
  var isWorking: Bool { awaited > 0 || unfinished != nil || batch != nil }

  // MARK: Work

  // Each of these does one piece of work, or a part of it when the quantum ends before.

  /// Continues a request that has begun. Returns false if none can be continued.
  func goOn(until quantumEnds: NIODeadline) -> Bool {
    if let answer = arrived.next() {
      awaited -= 1
      let ticket = answer.ticket.value
      switch answer.result {
      case .success(let result): write(.result(result), ticket, until: quantumEnds)
      case .failure(let error): refuse(ticket, error)
      }
    } else if let unfinished {
      goOn(with: unfinished, until: quantumEnds)
    } else {
      return false
    }
    return true
  }

  /// Begins the next request of an array. Returns false if there is none.
  func beginNextOfBatch(until quantumEnds: NIODeadline) -> Bool {
    guard let (request, place) = batch?.removeFirst() else { return false }
    if batch?.isEmpty == true { batch = nil }
    begin(request, place, until: quantumEnds)
    return true
  }

  /// Begins the requests of a line; those of an array wait for `beginNextOfBatch`.
  func begin(_ line: RequestLine, until quantumEnds: NIODeadline) {
    switch line {
    case .one(let request): begin(request, nil, until: quantumEnds)
    case .batch(let requests): batch = WaitingBatch(requests)
    }
  }

  private func begin(
    _ request: Result<Request, BadRequest>, _ place: Ticket.Place, until quantumEnds: NIODeadline
  ) {
    switch request {
    case .failure(let bad):
      // A request that cannot be read may have been a notification; an answer is more useful than
      // silence.
      refuse(Ticket(id: bad.id ?? .null, place: place), bad.error)
    case .success(let request):
      let ticket = Ticket(id: request.id, place: place, method: request.call.method)
      do throws(WireError) {
        if let place { try caller.refuseBeyondLimit(answerBytes: place.batch.bytes) }
        try refuseBeyondLimit(request.call)
        write(try application.answer(request.call, for: &caller), ticket, until: quantumEnds)
      } catch {
        refuse(ticket, error)
      }
    }
  }

  private func refuseBeyondLimit(_ call: Call) throws(WireError) {
    if !isBeyondLimit || call.isForOperators { return }
    wasRefused = true
    let max = application.limits.connectionsMax
    application.metrics.note(.tooMany)
    transport.logger.warning(
      "connection refused: there are too many",
      metadata: ["connections": "\(max)", "peer": "\(caller.peer)"])
    throw .tooManyConnections(max: max)
  }

  // MARK: Writing answers

  /// An answer whose quantum ended before it was complete.
  private final class Unfinished {
    var answer: Answer
    let ticket: Ticket
    /// The answer so far, except for the bytes in the writer.
    var pieces: [ByteBuffer] = []
    var writer: JSONWriter

    init(_ answer: Answer, _ ticket: Ticket, _ writer: consuming JSONWriter) {
      self.answer = answer
      self.ticket = ticket
      self.writer = writer
    }
  }

  /// Writes an answer, as far as it goes now.
  private func write(
    _ answer: consuming Answer, _ ticket: Ticket, until quantumEnds: NIODeadline
  ) {
    let mark = outbox.writer.mark
    outbox.writer.beginResult(ticket.id ?? .null)
    do throws(WireError) {
      switch try answer.write(to: &outbox.writer, for: &caller, until: quantumEnds) {
      case .complete:
        outbox.writer.endResult()
        deliver(ticket, since: mark)
      case .interrupted:
        unfinished = Unfinished(answer, ticket, outbox.writer.split(since: mark))
      case .awaited(let result):
        outbox.writer.rollBack(to: mark)
        awaited += 1
        result.request(receiver(of: ticket))
      }
    } catch {
      outbox.writer.rollBack(to: mark)
      refuse(ticket, error)
    }
  }

  /// Continues an answer whose quantum was over.
  private func goOn(with unfinished: Unfinished, until quantumEnds: NIODeadline) {
    var isComplete = false
    do throws(WireError) {
      let progress = try unfinished.answer.write(
        to: &unfinished.writer, for: &caller, until: quantumEnds)
      if case .complete = progress { isComplete = true }
    } catch {
      self.unfinished = nil
      return refuse(unfinished.ticket, error)
    }
    if isComplete { unfinished.writer.endResult() }
    if isComplete || unfinished.writer.count > Outbox.pieceBytes {
      unfinished.pieces.append(unfinished.writer.takeAll())
    }
    if !isComplete { return }
    self.unfinished = nil
    deliver(unfinished.ticket, unfinished.pieces)
  }

  /// Returns the callback that brings a late answer back to this connection's event loop.
  private func receiver(of ticket: Ticket) -> LaterResult.Completion {
    let bound = NIOLoopBound(self, eventLoop: loop)
    let ticket = NIOLoopBound(ticket, eventLoop: loop)
    let work = transport.workElsewhere()
    return { [arrived, loop] result in
      withExtendedLifetime(work) {
        if arrived.add((ticket, result)) { loop.execute { bound.value.onArrival() } }
      }
    }
  }

  private func refuse(_ ticket: Ticket, _ error: WireError) {
    let mark = outbox.writer.mark
    outbox.writer.error(ticket.id ?? .null, error)
    caller.tally.noteError(error.kind)
    deliver(ticket, since: mark)
  }

  // MARK: The place of answers

  /// Delivers the answer that was written since `mark`.
  private func deliver(_ ticket: Ticket, since mark: JSONWriter.Mark) {
    if ticket.place != nil { return deliver(ticket, [outbox.writer.take(since: mark)]) }
    note(ticket)
    if ticket.id == nil { outbox.writer.rollBack(to: mark) } else { outbox.writer.endLine() }
  }

  /// Delivers an answer that was written elsewhere.
  private func deliver(_ ticket: Ticket, _ answer: [ByteBuffer]) {
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
}
