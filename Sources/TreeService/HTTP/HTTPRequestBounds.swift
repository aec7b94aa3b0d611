import NIOCore
import WireProtocol

/// Ends a connection whose request has too many bytes or takes too long, and one that makes none. It
/// stands before the parser, which bounds neither.
final class HTTPRequestBounds: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  typealias InboundOut = ByteBuffer

  private let limits: Limits
  /// Bytes that came since the last request ended.
  private var bytes = 0
  private var bytesMax = HTTPRequestBounds.requestBytesMax
  private var deadline: Scheduled<Void>?

  /// A request of a scraper or an orchestrator has a few hundred.
  static let requestBytesMax = 1 << 16
  /// Half a million tokens. Whoever reaches the port may have so many bytes kept, for each connection.
  static let bodyBytesMax = 4 << 20
  /// The next request of the same scraper comes within a minute or two.
  private static let idleSecondsMax = 300

  init(_ limits: Limits) {
    self.limits = limits
  }

  func channelActive(context: ChannelHandlerContext) {
    // The first request is a slow one from the beginning.
    close(context, after: limits.lineSecondsMax)
    context.fireChannelActive()
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    if bytes == 0 { close(context, after: limits.lineSecondsMax) }
    bytes += unwrapInboundIn(data).readableBytes
    if bytes > bytesMax {
      context.close(promise: nil)
    } else {
      context.fireChannelRead(data)
    }
  }

  /// To be called when a request's head is one that tokens follow.
  func allowBody() { bytesMax = min(limits.lineBytesMax, Self.bodyBytesMax) }

  /// To be called when a request is whole. What comes after it belongs to the next one.
  func requestEnded(_ context: ChannelHandlerContext) {
    bytes = 0
    bytesMax = Self.requestBytesMax
    close(context, after: min(limits.idleSecondsMax, Self.idleSecondsMax))
  }

  private func close(_ context: ChannelHandlerContext, after seconds: Int) {
    deadline?.cancel()
    let loop = context.eventLoop
    let channel = context.channel
    deadline = loop.assumeIsolated().scheduleTask(in: .seconds(Int64(seconds))) {
      channel.close(promise: nil)
    }
  }

  func channelInactive(context: ChannelHandlerContext) {
    deadline?.cancel()
    context.fireChannelInactive()
  }
}
