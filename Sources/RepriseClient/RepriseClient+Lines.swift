import NIOCore
import NIOPosix
import WireProtocol

extension RepriseClient {
  /// Sends lines unchanged on a separate connection, and passes each line that comes back to
  /// `receive`. It is for tools that examine the protocol itself. It returns when the service has
  /// answered all lines.
  ///
  /// - Parameters:
  ///   - next: Returns the next line, without its newline; nil after the last line. May block.
  ///   - receive: Called with each line that the service sends, without its newline.
  /// - Throws: `unavailable` if no connection can be made, `disconnected` if it breaks.
  public func exchangeLines(
    _ next: @escaping @Sendable () async throws -> [UInt8]?,
    receive: ([UInt8]) throws -> Void
  ) async throws {
    let connection = try await connectForLines()
    try await connection.executeThenClose { inbound, outbound in
      try await withThrowingTaskGroup(of: Void.self) { tasks in
        tasks.addTask {
          while let line = try await next() {
            var buffer = ByteBuffer(bytes: line)
            buffer.writeInteger(UInt8(ascii: "\n"))
            try await outbound.write(buffer)
          }
          outbound.finish()
        }
        var partial: [UInt8] = []
        for try await buffer in inbound {
          var rest = buffer.readableBytesView[...]
          while let newline = rest.firstIndex(of: UInt8(ascii: "\n")) {
            partial += rest[..<newline]
            try receive(partial)
            partial.removeAll()
            rest = rest[(newline + 1)...]
          }
          partial += rest
          if partial.count > configuration.lineBytesMax { throw ClientError.malformedAnswer }
        }
        try await tasks.waitForAll()
      }
    }
  }

  private func connectForLines() async throws(ClientError) -> NIOAsyncChannel<
    ByteBuffer, ByteBuffer
  > {
    let (address, configuration) = (address, configuration)
    let bootstrap = ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .channelOption(.allowRemoteHalfClosure, value: true)
    @Sendable func initialize(
      _ channel: any Channel
    ) -> EventLoopFuture<NIOAsyncChannel<ByteBuffer, ByteBuffer>> {
      channel.eventLoop.makeCompletedFuture {
        if case .tcp(let host, _) = address, let files = configuration.tls {
          try channel.pipeline.syncOperations.addHandler(
            try TLSContext(files).makeHandler(host: host))
        }
        return try NIOAsyncChannel(
          wrappingChannelSynchronously: channel,
          configuration: .init(isOutboundHalfClosureEnabled: true))
      }
    }
    do {
      switch address {
      case .unixSocket:
        guard let socket = address.unixSocketAddress else {
          throw ClientError.unavailable(reason: address.pathTooLong)
        }
        return try await bootstrap.connect(to: socket, channelInitializer: initialize)
      case .tcp(let host, let port):
        return try await bootstrap.connect(
          host: host, port: port, channelInitializer: initialize)
      }
    } catch let error as ClientError {
      throw error
    } catch {
      throw .unavailable(reason: address.reason(error))
    }
  }
}
