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
  private var head: HTTPRequestHead?
  private var deadline: Scheduled<Void>?

  /// A request is one packet, and the next one of the same scraper comes within a minute or two.
  private static let patience = TimeAmount.seconds(300)

  init(_ responder: Responder) {
    self.responder = responder
  }

  func channelActive(context: ChannelHandlerContext) {
    wait(context)
    context.fireChannelActive()
  }

  func channelInactive(context: ChannelHandlerContext) {
    deadline?.cancel()
    context.fireChannelInactive()
  }

  private func wait(_ context: ChannelHandlerContext) {
    deadline?.cancel()
    deadline = context.eventLoop.assumeIsolated().scheduleTask(in: Self.patience) {
      context.close(promise: nil)
    }
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    switch unwrapInboundIn(data) {
    case .head(let head): self.head = head
    case .body: break
    case .end:
      guard let head else { return }
      self.head = nil
      wait(context)
      answer(head, context)
    }
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
