import CorpusStore
import Foundation
import Logging
import NIOConcurrencyHelpers
import NIOCore
import NIOPosix

/// The service: a store behind a socket.
///
/// Requests are read, answered and written by the event loop that their connection belongs to.
/// `start` listens; `stop` answers what was received, records open sessions, and commits.
public final class TreeService: Sendable {
  public enum StartError: Error, Equatable, CustomStringConvertible {
    /// A service answers on the socket already.
    case alreadyServed(path: String)
    /// Something else than a socket stands where the socket should be.
    case notASocket(path: String)
    /// Longer than the system allows.
    case pathTooLong(path: String, bytesMax: Int)
    case cannotListen(address: String, reason: String)

    public var description: String {
      switch self {
      case .alreadyServed(let path):
        "a service answers on \(path) already; stop it, or choose another --socket"
      case .notASocket(let path):
        "\(path) exists and is not a socket; remove it, or choose another --socket"
      case .pathTooLong(let path, let bytesMax):
        "the socket path \(path) has more than \(bytesMax) bytes, which the system does not "
          + "allow; choose a shorter --socket"
      case .cannotListen(let address, let reason):
        "cannot listen on \(address): \(reason)"
      }
    }
  }

  private let responder: Responder
  private let group: MultiThreadedEventLoopGroup
  private let channel: any Channel
  private let connections: ConnectionSet
  private let leases: RepeatedTask
  private let socketPath: String?

  /// Bytes in a socket's path, its final zero not counted.
  static let socketPathBytesMax = 107

  /// Listens. The store must be open; it stays the caller's to close.
  public static func start(
    _ store: Store, _ options: ServiceOptions, logger: Logger
  ) async throws -> TreeService {
    let responder = Responder(store, options, logger)
    let group = MultiThreadedEventLoopGroup(numberOfThreads: options.threads)
    do {
      let connections = ConnectionSet()
      let bootstrap = ServerBootstrap(group: group)
        .serverChannelOption(.backlog, value: 256)
        .childChannelOption(.allowRemoteHalfClosure, value: true)
        // A whole step of 64 sessions fits one read.
        .childChannelOption(
          .recvAllocator,
          value: AdaptiveRecvByteBufferAllocator(minimum: 4096, initial: 16384, maximum: 1 << 18)
        )
        .childChannelInitializer { channel in
          connections.add(channel)
          return channel.eventLoop.makeCompletedFuture {
            try channel.pipeline.syncOperations.addHandler(ConnectionHandler(responder))
          }
        }
      let channel: any Channel
      var socketPath: String?
      switch options.address {
      case .unixSocket(let path):
        try Self.clearSocket(path)
        channel = try await Self.bind(bootstrap, path)
        socketPath = path
      case .loopback(let port):
        do {
          channel = try await bootstrap.bind(host: "127.0.0.1", port: port).get()
        } catch {
          throw StartError.cannotListen(
            address: "\(options.address)", reason: "\(error.localizedDescription)")
        }
      }
      return TreeService(responder, group, channel, connections, socketPath)
    } catch {
      try? await group.shutdownGracefully()
      throw error
    }
  }

  private init(
    _ responder: Responder, _ group: MultiThreadedEventLoopGroup, _ channel: any Channel,
    _ connections: ConnectionSet, _ socketPath: String?
  ) {
    self.responder = responder
    self.group = group
    self.channel = channel
    self.connections = connections
    self.socketPath = socketPath
    leases = group.next().scheduleRepeatedTask(
      initialDelay: .seconds(1), delay: .seconds(1)
    ) { _ in
      responder.closeSessions(endingBy: .now())
    }
  }

  /// The port that is listened on; nil for a Unix socket.
  public var port: Int? { channel.localAddress?.port }

  /// Takes no more connections, answers what was received, records open sessions and ends.
  ///
  /// An operator's call that is under way is done first, however long it takes; drafts go on
  /// meanwhile. Those that wait for their turn are answered `busy`.
  public func stop() async throws {
    leases.cancel()
    try? await channel.close().get()
    await responder.operations.end()
    // Each connection's own event loop closes it, after the requests that it has received.
    await connections.closeAll()
    await withCheckedContinuation { continuation in
      responder.closeSessions(endingBy: .distantFuture) { continuation.resume() }
    }
    try await group.shutdownGracefully()
    if let socketPath { unsafe unlink(socketPath) }
  }

  // MARK: The socket's file

  /// Removes a socket that nobody answers on any more; refuses one that somebody does.
  private static func clearSocket(_ path: String) throws {
    if path.utf8.count > socketPathBytesMax {
      throw StartError.pathTooLong(path: path, bytesMax: socketPathBytesMax)
    }
    var status = stat()
    guard unsafe lstat(path, &status) == 0 else { return }
    guard status.st_mode & S_IFMT == S_IFSOCK else { throw StartError.notASocket(path: path) }
    if isAnswered(path) { throw StartError.alreadyServed(path: path) }
    unsafe unlink(path)
  }

  private static func isAnswered(_ path: String) -> Bool {
    let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
    defer { Foundation.close(descriptor) }
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    // SAFETY: the path is shorter than `sun_path`, which was zero before.
    unsafe withUnsafeMutableBytes(of: &address.sun_path) { buffer in
      unsafe buffer.copyBytes(from: path.utf8)
    }
    let size = socklen_t(MemoryLayout<sockaddr_un>.size)
    return unsafe withUnsafePointer(to: &address) { pointer in
      unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
        unsafe connect(descriptor, address, size) == 0
      }
    }
  }

  /// Binds with a mask that leaves the file to its owner from the first moment on.
  private static func bind(
    _ bootstrap: ServerBootstrap, _ path: String
  ) async throws -> any Channel {
    let mask = umask(0o177)
    defer { umask(mask) }
    do {
      let channel = try await bootstrap.bind(unixDomainSocketPath: path).get()
      unsafe chmod(path, 0o600)
      return channel
    } catch {
      throw StartError.cannotListen(address: path, reason: "\(error)")
    }
  }
}

/// The open connections, to be closed in good order.
private final class ConnectionSet: Sendable {
  private let channels = NIOLockedValueBox<[ObjectIdentifier: any Channel]>([:])

  func add(_ channel: any Channel) {
    let key = ObjectIdentifier(channel)
    channels.withLockedValue { $0[key] = channel }
    channel.closeFuture.whenComplete { [channels] _ in
      channels.withLockedValue { _ = $0.removeValue(forKey: key) }
    }
  }

  func closeAll() async {
    for channel in channels.withLockedValue({ Array($0.values) }) {
      channel.pipeline.fireUserInboundEventTriggered(ChannelEvent.inputClosed)
      // A client that does not read its answers cannot hold the service up.
      let limit = channel.eventLoop.scheduleTask(in: .seconds(5)) {
        channel.close(promise: nil)
      }
      try? await channel.closeFuture.get()
      limit.cancel()
    }
  }
}
