import NIOCore
import NIOHTTP1

/// Answers what Prometheus and orchestrators ask over HTTP:
///
///     GET /metrics        what is counted and measured
///     GET /health/live    200 while the process runs
///     GET /health/ready   200 while drafts are answered, else 503
///
/// Nothing can be changed through it, and no text or token id is in it; names of corpora are.
final class HTTPHandler: ChannelInboundHandler {
  typealias InboundIn = HTTPServerRequestPart
  typealias OutboundOut = HTTPServerResponsePart

  private let responder: Responder
  private let bounds: HTTPRequestBounds
  /// Of the request that is being read, or waits to be answered.
  private var head: HTTPRequestHead?
  /// Whether the request is whole.
  private var isWaiting = false

  init(_ responder: Responder, _ bounds: HTTPRequestBounds) {
    self.responder = responder
    self.bounds = bounds
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    switch unwrapInboundIn(data) {
    case .head(let head): self.head = head
    case .body: break
    case .end:
      bounds.requestEnded(context)
      isWaiting = true
      answerIfTaken(context)
    }
  }

  func channelWritabilityChanged(context: ChannelHandlerContext) {
    answerIfTaken(context)
    context.fireChannelWritabilityChanged()
  }

  /// Answers the request that waits, once the client has taken the answers before: many requests fit in
  /// one packet, and an answer may be a thousand times as long. No other request comes until then.
  private func answerIfTaken(_ context: ChannelHandlerContext) {
    guard isWaiting, context.channel.isWritable, let head else { return }
    isWaiting = false
    self.head = nil
    answer(head, context)
  }

  private func answer(_ head: HTTPRequestHead, _ context: ChannelHandlerContext) {
    let path = head.uri.split(separator: "?", omittingEmptySubsequences: false).first ?? ""
    guard head.method == .GET || head.method == .HEAD else {
      return send(.methodNotAllowed, "only GET is answered here\n", head, context)
    }
    switch path {
    case "/metrics":
      let bound = NIOLoopBound((handler: self, context: context), eventLoop: context.eventLoop)
      let loop = context.eventLoop
      responder.disk.run { [responder] in
        let text = responder.metricsText()
        loop.execute {
          bound.value.handler.send(
            .ok, text, head, bound.value.context, type: "text/plain; version=0.0.4; charset=utf-8")
        }
      }
    case "/health/live": send(.ok, "live\n", head, context)
    case "/health/ready":
      let awaited = responder.awaited
      if awaited.isEmpty {
        send(.ok, "ready\n", head, context)
      } else {
        send(
          .serviceUnavailable, "not ready: \(awaited.joined(separator: ", "))\n", head, context)
      }
    default:
      send(.notFound, "there are /metrics, /health/live and /health/ready\n", head, context)
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
    context.writeAndFlush(wrapOutboundOut(.end(nil))).whenComplete { _ in
      if !request.isKeepAlive { bound.value.close(promise: nil) }
    }
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    context.close(promise: nil)
  }
}
