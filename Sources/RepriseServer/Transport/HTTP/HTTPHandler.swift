import NIOCore
import NIOHTTP1
import RepriseModel
import WireProtocol

/// Answers the HTTP requests of Prometheus, orchestrators and engines:
///
///     GET /metrics        counters and measurements
///     GET /health/live    200 while the process runs
///     GET /health/ready   200 while drafts are answered, else 503
///     POST /v1/draft      a continuation of a prefix, for holders of an access token
///
/// Without a token it changes nothing, and shows no text or token id; it does show names of
/// corpora.
final class HTTPHandler: ChannelInboundHandler {
  typealias InboundIn = HTTPServerRequestPart
  typealias OutboundOut = HTTPServerResponsePart

  private let application: Application
  private let drafter: PrefixDrafter
  private let bounds: HTTPRequestBounds
  /// The head of the request that is being read, or waits for its answer.
  private var head: HTTPRequestHead?
  private var body = ByteBuffer()
  /// True if the request is complete.
  private var isWaiting = false

  init(_ application: Application, _ drafter: PrefixDrafter, _ bounds: HTTPRequestBounds) {
    self.application = application
    self.drafter = drafter
    self.bounds = bounds
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    if bounds.isRefused { return }
    switch unwrapInboundIn(data) {
    case .head(let head):
      if bounds.headCame(head, isDraft: isDraft(head)) { self.head = head }
    case .body(var part):
      if head.map(isDraft) == true { body.writeBuffer(&part) }
      bounds.bodyCame(bytes: body.readableBytes)
    case .end:
      bounds.requestEnded()
      isWaiting = true
      answerIfTaken(context)
    }
  }

  func channelWritabilityChanged(context: ChannelHandlerContext) {
    answerIfTaken(context)
    context.fireChannelWritabilityChanged()
  }

  /// Answers the waiting request, once the client has read the earlier answers: many requests fit
  /// in one packet, and an answer may be a thousand times as long. No other request is read until
  /// then.
  private func answerIfTaken(_ context: ChannelHandlerContext) {
    guard isWaiting, context.channel.isWritable, let head else { return }
    isWaiting = false
    let body = body
    self.head = nil
    self.body = ByteBuffer()
    if isDraft(head) {
      draft(head, body, context)
    } else {
      answer(head, context)
    }
  }

  private func path(_ head: HTTPRequestHead) -> Substring {
    head.uri.split(separator: "?", omittingEmptySubsequences: false).first ?? ""
  }

  private func isDraft(_ head: HTTPRequestHead) -> Bool {
    head.method == .POST && path(head) == "/v1/draft"
  }

  private func draft(_ head: HTTPRequestHead, _ body: ByteBuffer, _ context: ChannelHandlerContext)
  {
    let authorization = head.headers.first(name: "authorization")?.split(separator: " ") ?? []
    let hasBearer = authorization.count == 2 && authorization[0].lowercased() == "bearer"
    var writer = JSONWriter()
    writer.beginObject()
    var status = HTTPResponseStatus.ok
    do throws(WireError) {
      let drafted = try drafter.draft(
        body.readableBytesSpan, bearer: hasBearer ? String(authorization[1]) : nil)
      drafted.write(to: &writer)
    } catch {
      status = error.httpStatus
      writer.name("error")
      error.write(to: &writer)
    }
    writer.endObject()
    writer.endLine()
    let text = String(decoding: writer.bytes, as: UTF8.self)
    send(status, text, head, context, type: "application/json")
  }

  private func answer(_ head: HTTPRequestHead, _ context: ChannelHandlerContext) {
    let path = path(head)
    guard head.method == .GET || head.method == .HEAD else {
      return send(
        .methodNotAllowed, "only GET is answered here, and POST at /v1/draft\n", head, context)
    }
    switch path {
    case "/metrics":
      let bound = NIOLoopBound((handler: self, context: context), eventLoop: context.eventLoop)
      let loop = context.eventLoop
      application.service.writeMetrics { text in
        loop.execute {
          bound.value.handler.send(
            .ok, text, head, bound.value.context, type: "text/plain; version=0.0.4; charset=utf-8")
        }
      }
    case "/health/live": send(.ok, "live\n", head, context)
    case "/health/ready":
      let awaited = application.service.awaited
      if awaited.isEmpty {
        send(.ok, "ready\n", head, context)
      } else {
        send(
          .serviceUnavailable, "not ready: \(awaited.joined(separator: ", "))\n", head, context)
      }
    default:
      send(
        .notFound, "there are /metrics, /health/live, /health/ready and /v1/draft\n", head, context)
    }
  }

  private func send(
    _ status: HTTPResponseStatus, _ text: String, _ request: HTTPRequestHead,
    _ context: ChannelHandlerContext, type: String = "text/plain; charset=utf-8"
  ) {
    var head = HTTPResponseHead(version: request.version, status: status)
    head.headers.add(name: "content-type", value: type)
    head.headers.add(name: "content-length", value: "\(text.utf8.count)")
    if status == .methodNotAllowed { head.headers.add(name: "allow", value: "GET, HEAD") }
    if !request.isKeepAlive { head.headers.add(name: "connection", value: "close") }
    context.write(wrapOutboundOut(.head(head)), promise: nil)
    if request.method != .HEAD {
      context.write(
        wrapOutboundOut(.body(.byteBuffer(ByteBuffer(string: text)))), promise: nil)
    }
    let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
    bounds.requestWasAnswered()
    context.writeAndFlush(wrapOutboundOut(.end(nil))).whenComplete { _ in
      if !request.isKeepAlive { bound.value.close(promise: nil) }
    }
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    if let error = error as? HTTPParserError {
      // Many short lines exceed the parser's bound before their bytes exceed ours.
      if error == .headerOverflow { return bounds.refuseHead() }
      bounds.refuse(
        .badRequest, WireError(.parseError, "this is not an HTTP request; send one of HTTP/1.1"))
    } else {
      context.close(promise: nil)
    }
  }
}

extension WireError {
  fileprivate var httpStatus: HTTPResponseStatus {
    switch kind {
    case .unauthorized: .unauthorized
    case .corpusNotFound: .notFound
    case .limitExceeded: .payloadTooLarge
    case .busy: .tooManyRequests
    case .internalError, .corrupt, .storageFull: .internalServerError
    default: .badRequest
    }
  }
}
