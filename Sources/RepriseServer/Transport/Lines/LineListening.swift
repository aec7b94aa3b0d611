import Logging
import NIOCore
import NIOPosix
import RepriseModel
import WireProtocol

/// Opens the listeners of the line protocol, one after the other.
struct LineListening {
  private let transport: LineTransport
  private let certificates: Certificates?
  private let group: MultiThreadedEventLoopGroup
  private let queues: UsageQueues
  private(set) var channels: [any Channel] = []
  /// Socket files that are removed when listening ends.
  private var socketFiles: [SocketFile] = []

  init(
    _ transport: LineTransport, _ certificates: Certificates?,
    _ group: MultiThreadedEventLoopGroup, _ queues: UsageQueues
  ) {
    self.transport = transport
    self.certificates = certificates
    self.group = group
    self.queues = queues
  }

  mutating func open(_ listener: Listener) async throws {
    switch listener {
    case .unixSocket(let path, let mode, let group):
      let (socket, file) = try SocketFile.listen(path: path, mode: mode, group: group)
      socketFiles.append(file)
      channels.append(try await accepting(socket, listener))
    case .tcp(let host, let port):
      let socket = try TCPSocket.listen(host: host, port: port, as: "\(listener)")
      channels.append(try await accepting(socket, listener))
    case .inherited(let descriptor):
      channels.append(try await accepting(descriptor, listener))
    }
  }

  /// Stops accepting connections.
  func close() async {
    for file in socketFiles { file.remove() }
    for channel in channels { try? await channel.close().get() }
  }

  /// Accepts connections of a listening socket, which this owns from here on.
  private func accepting(_ socket: Int32, _ listener: Listener) async throws -> any Channel {
    do {
      return try await bootstrap(listener, socket).withBoundSocket(socket).get()
    } catch {
      throw StartError.cannotListen(address: "\(listener)", reason: "\(error)")
    }
  }

  private func bootstrap(_ listener: Listener, _ socket: Int32) -> ServerBootstrap {
    let (transport, queues) = (transport, queues)
    let application = transport.application
    var certificates = certificates
    if case .unixSocket = listener { certificates = nil }
    // Before a handshake no refusal can be sent.
    let refusal =
      certificates == nil ? ConnectionRefusal.line(application.limits.connectionsMax) : []
    return ServerBootstrap(group: group)
      .serverChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.addHandler(
            AcceptGate(socket, application.service, refusal: refusal))
        }
      }
      .serverChannelOption(.backlog, value: 256)
      .serverChannelOption(.maxMessagesPerRead, value: 1)
      .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
      .childChannelOption(.allowRemoteHalfClosure, value: true)
      // After each read other connections are served.
      .childChannelOption(.maxMessagesPerRead, value: 1)
      // A whole step of 64 sessions fits one read, and the reads of many connections that send long
      // lines at once fit a quantum.
      .childChannelOption(
        .recvAllocator,
        value: AdaptiveRecvByteBufferAllocator(minimum: 4096, initial: 16384, maximum: 16384)
      )
      .childChannelInitializer { [certificates] channel in
        channel.eventLoop.makeCompletedFuture {
          let pipeline = channel.pipeline.syncOperations
          if let certificates { try pipeline.addHandler(certificates.makeHandler()) }
          let loop = channel.eventLoop
          let max = application.limits.connectionsMax
          switch transport.connections.place(channel, max: max) {
          case .ordinary:
            try pipeline.addHandler(
              ConnectionHandler(transport, queues.queue(of: loop), on: loop))
          case .beyondLimit:
            try pipeline.addHandler(
              ConnectionHandler(transport, queues.queue(of: loop), on: loop, isBeyondLimit: true))
          case .refusal:
            application.metrics.note(.tooMany)
            transport.logger.warning(
              "connection refused: there are too many", metadata: ["connections": "\(max)"])
            try pipeline.addHandler(ConnectionRefusal(connectionsMax: max))
          case nil:
            application.metrics.note(.tooMany)
            throw ChannelError.alreadyClosed
          }
        }
      }
  }
}
