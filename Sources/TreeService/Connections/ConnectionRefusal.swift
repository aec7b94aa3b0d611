import NIOCore
import WireProtocol

/// Tells a connection that is one too many so, and closes it.
final class ConnectionRefusal: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  private let connectionsMax: Int

  init(connectionsMax: Int) {
    self.connectionsMax = connectionsMax
  }

  func channelActive(context: ChannelHandlerContext) {
    var writer = JSONWriter()
    writer.error(
      .null,
      .limit(
        "connections", max: connectionsMax, got: connectionsMax + 1, "the number of connections"))
    writer.endLine()
    var buffer = context.channel.allocator.buffer(capacity: writer.count)
    unsafe writer.withBytes { _ = unsafe buffer.writeBytes($0) }
    let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
    context.writeAndFlush(wrapOutboundOut(buffer)).whenComplete { _ in
      bound.value.close(promise: nil)
    }
  }
}
