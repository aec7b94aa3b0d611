import ArgumentParser
import Foundation
import NIOCore
import NIOPosix

/// The cost of the socket itself: answers every line with a line of a fixed length.
struct Echo: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Answer every line with one of a fixed length.", shouldDisplay: false)

  @Option var socket: String
  @Option var answerBytes: Int

  func run() async throws {
    let group = MultiThreadedEventLoopGroup(numberOfThreads: 2)
    let answer = [UInt8](repeating: UInt8(ascii: "x"), count: answerBytes - 1) + [10]
    let channel = try await ServerBootstrap(group: group)
      .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.addHandler(Handler(answer))
        }
      }
      .bind(unixDomainSocketPath: socket).get()
    try await channel.closeFuture.get()
  }

  private final class Handler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer
    private let answer: [UInt8]

    init(_ answer: [UInt8]) { self.answer = answer }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      let read = unwrapInboundIn(data)
      guard read.readableBytesView.last == UInt8(ascii: "\n") else { return }
      var buffer = context.channel.allocator.buffer(capacity: answer.count)
      buffer.writeBytes(answer)
      context.write(wrapOutboundOut(buffer), promise: nil)
    }

    func channelReadComplete(context: ChannelHandlerContext) { context.flush() }
  }
}
