import Foundation
import Logging
import NIOCore
import NIOPosix
import WireProtocol

/// Opens listeners, one after the other.
struct Listening {
  private let responder: Responder
  private let certificates: Certificates?
  private let group: MultiThreadedEventLoopGroup
  private let turns: TurnQueues
  private let connections: ConnectionSet
  private(set) var channels: [any Channel] = []
  /// To be removed when the service ends.
  private(set) var socketFiles: [SocketFile] = []

  init(
    _ responder: Responder, _ certificates: Certificates?, _ group: MultiThreadedEventLoopGroup,
    _ turns: TurnQueues, _ connections: ConnectionSet
  ) {
    self.responder = responder
    self.certificates = certificates
    self.group = group
    self.turns = turns
    self.connections = connections
  }

  mutating func open(_ listener: Listener) async throws {
    switch listener {
    case .unixSocket(let path, let mode, let group):
      let file = SocketFile(path: path, mode: mode, group: group)
      try file.clear()
      // The file is its owner's alone from the first moment on.
      let mask = umask(0o177)
      defer { umask(mask) }
      channels.append(
        try await bound(listener) { try await $0.bind(to: file.address()).get() })
      socketFiles.append(file)
      try file.open()
    case .tcp(let host, let port):
      channels.append(
        try await bound(listener) { try await $0.bind(host: host, port: port).get() })
    case .inherited(let descriptor):
      channels.append(try await bound(listener) { try await $0.withBoundSocket(descriptor).get() })
    }
  }

  func close() async {
    for channel in channels { try? await channel.close().get() }
    for file in socketFiles { file.remove() }
  }

  private func bound(
    _ listener: Listener, _ bind: (ServerBootstrap) async throws -> any Channel
  ) async throws -> any Channel {
    do {
      return try await bind(bootstrap(listener))
    } catch {
      throw StartError.cannotListen(address: "\(listener)", reason: Self.reason(error, listener))
    }
  }

  private static func reason(_ error: any Error, _ listener: Listener) -> String {
    guard let error = error as? IOError else { return "\(error)" }
    switch (error.errnoCode, listener) {
    case (ENOENT, .unixSocket(let path, _, _)):
      return "its directory \((path as NSString).deletingLastPathComponent) is not there; make it"
    case (EADDRINUSE, .tcp): return "another process listens there; choose another port"
    case (EACCES, _): return "this user may not listen there"
    default:
      // SAFETY: strerror returns a C string for every number.
      return unsafe String(cString: strerror(error.errnoCode))
    }
  }

  private func bootstrap(_ listener: Listener) -> ServerBootstrap {
    let (responder, turns, connections) = (responder, turns, connections)
    var certificates = certificates
    if case .unixSocket = listener { certificates = nil }
    return ServerBootstrap(group: group)
      .serverChannelOption(.backlog, value: 256)
      .serverChannelOption(.maxMessagesPerRead, value: 1)
      .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
      .childChannelOption(.allowRemoteHalfClosure, value: true)
      // After each read others are looked at.
      .childChannelOption(.maxMessagesPerRead, value: 1)
      // A whole step of 64 sessions fits one read, and reads of many connections that send long lines at
      // once fit a turn.
      .childChannelOption(
        .recvAllocator,
        value: AdaptiveRecvByteBufferAllocator(minimum: 4096, initial: 16384, maximum: 16384)
      )
      .childChannelInitializer { [certificates] channel in
        channel.eventLoop.makeCompletedFuture {
          let pipeline = channel.pipeline.syncOperations
          if let certificates { try pipeline.addHandler(certificates.makeHandler()) }
          let max = responder.options.limits.connectionsMax
          if connections.add(channel, max: max) {
            try pipeline.addHandler(
              ConnectionHandler(responder, turns.queue(of: channel.eventLoop)))
          } else {
            responder.metrics.note(.tooMany)
            responder.logger.warning(
              "connection refused: there are too many", metadata: ["connections": "\(max)"])
            try pipeline.addHandler(ConnectionRefusal(connectionsMax: max))
          }
        }
      }
  }
}
