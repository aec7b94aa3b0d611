import NIOCore
import RepriseModel
import WireProtocol

/// Refuses a connection beyond the limit and closes it: at once or, if it is to be encrypted, after
/// the handshake, for which it has some seconds.
final class ConnectionRefusal: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  private let connectionsMax: Int

  init(connectionsMax: Int) {
    self.connectionsMax = connectionsMax
  }

  private static let seconds: Int64 = 5

  /// The line with the error.
  static func line(_ connectionsMax: Int) -> [UInt8] {
    var writer = JSONWriter()
    writer.error(.null, .tooManyConnections(max: connectionsMax))
    writer.endLine()
    return [UInt8](writer.bytes)
  }

  func channelActive(context: ChannelHandlerContext) {
    let buffer = ByteBuffer(bytes: Self.line(connectionsMax))
    let channel = context.channel
    let limit = context.eventLoop.scheduleTask(in: .seconds(Self.seconds)) {
      channel.close(promise: nil)
    }
    channel.closeFuture.whenComplete { _ in limit.cancel() }
    let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
    context.writeAndFlush(wrapOutboundOut(buffer)).whenComplete { _ in
      bound.value.close(promise: nil)
    }
  }
}

extension WireError {
  static func tooManyConnections(max: Int) -> WireError {
    WireError(
      .limitExceeded,
      "there are too many connections: connections allows at most \(max); close some, or connect again "
        + "later",
      [
        "limit": .text(LimitName.connections.rawValue), "max": .number(max),
        "got": .number(max + 1),
      ])
  }
}
