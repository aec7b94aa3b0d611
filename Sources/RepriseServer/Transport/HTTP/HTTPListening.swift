import NIOCore
import NIOHTTP1
import NIOPosix

/// The HTTP port, on an event loop of its own, so that scrapes delay no draft.
struct HTTPListening {
  private let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
  let channel: any Channel

  /// The most connections that are being refused at once.
  private static let refusalsMax = 8

  /// - Parameter connectionsMax: The most connections whose requests are answered.
  init(
    _ host: String, _ port: Int, _ application: Application, connectionsMax max: Int
  ) async throws {
    let (connections, refusals) = (ConnectionSet(), ConnectionSet())
    let loop = group.next()
    let drafter = try await loop.submit {
      NIOLoopBound(PrefixDrafter(application), eventLoop: loop)
    }.get()
    let name = "\(host):\(port) (http)"
    let socket: Int32
    do throws(StartError) {
      socket = try TCPSocket.listen(host: host, port: port, as: name)
    } catch {
      try? await group.shutdownGracefully()
      throw error
    }
    let refusal = [UInt8](
      "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".utf8)
    let bootstrap = ServerBootstrap(group: group)
      .serverChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.addHandler(
            AcceptGate(socket, application.service, refusal: refusal))
        }
      }
      .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          let pipeline = channel.pipeline.syncOperations
          let limits = application.limits
          guard connections.add(channel, max: max) else {
            // If even these are too many, the connection is closed without an answer.
            guard refusals.add(channel, max: Self.refusalsMax) else {
              throw ChannelError.alreadyClosed
            }
            try pipeline.addHandler(HTTPRequestBounds(limits, refusingBeyond: max))
            return
          }
          try Self.addHandlers(to: pipeline, application, drafter.value)
        }
      }
    do {
      channel = try await bootstrap.withBoundSocket(socket).get()
    } catch {
      try? await group.shutdownGracefully()
      throw StartError.cannotListen(address: name, reason: "\(error)")
    }
  }

  /// Makes a channel one that answers requests.
  static func addHandlers(
    to pipeline: ChannelPipeline.SynchronousOperations, _ application: Application,
    _ drafter: PrefixDrafter
  ) throws {
    let bounds = HTTPRequestBounds(application.limits)
    try pipeline.addHandler(bounds)
    // Requests that cannot be parsed are answered by the handlers here.
    try pipeline.configureHTTPServerPipeline(
      withPipeliningAssistance: true, withErrorHandling: false)
    try pipeline.addHandler(HTTPHandler(application, drafter, bounds))
  }

  /// Returns when all drafts that were begun have been answered.
  func draftsAreGiven() async { try? await channel.eventLoop.submit {}.get() }

  func close() async {
    try? await channel.close().get()
    try? await group.shutdownGracefully()
  }
}
