import NIOCore
import NIOHTTP1
import NIOPosix

/// The HTTP port, on an event loop of its own: whoever scrapes holds up no draft.
struct HTTPListening {
  private let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
  let channel: any Channel

  /// Scrapers and orchestrators; more are refused.
  private static let connectionsMax = 64

  init(_ host: String, _ port: Int, _ responder: Responder) async throws {
    let connections = ConnectionSet()
    let loop = group.next()
    let drafter = try await loop.submit {
      NIOLoopBound(PrefixDrafter(responder), eventLoop: loop)
    }.get()
    let bootstrap = ServerBootstrap(group: group)
      .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
      .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          guard connections.add(channel, max: Self.connectionsMax) else {
            throw ChannelError.alreadyClosed
          }
          let pipeline = channel.pipeline.syncOperations
          let bounds = HTTPRequestBounds(responder.options.limits)
          try pipeline.addHandler(bounds)
          try pipeline.configureHTTPServerPipeline(
            withPipeliningAssistance: true, withErrorHandling: true)
          try pipeline.addHandler(HTTPHandler(responder, drafter.value, bounds))
        }
      }
    do {
      channel = try await bootstrap.bind(host: host, port: port).get()
    } catch {
      try? await group.shutdownGracefully()
      throw StartError.cannotListen(address: "\(host):\(port) (http)", reason: "\(error)")
    }
  }

  /// Returns when all drafts that were begun are given.
  func draftsAreGiven() async { try? await channel.eventLoop.submit {}.get() }

  func close() async {
    try? await channel.close().get()
    try? await group.shutdownGracefully()
  }
}
