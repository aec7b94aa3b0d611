import Access
import CLinux
import Concurrency
import CorpusStore
import Foundation
import Logging
import NIOCore
import NIOPosix
import WireProtocol

/// The service: a store behind sockets.
///
/// Requests are read, answered and written by the event loop of their connection. `start` listens;
/// `stop` answers the received requests, records open sessions, and commits.
public final class RepriseServer: Sendable {
  private let responder: Responder
  private let certificates: Certificates?
  private let group: MultiThreadedEventLoopGroup
  private let listening: Listening
  private let connections: ConnectionSet
  private let everySecond: RepeatedTask
  private let http: HTTPListening?

  /// Starts listening. The store must be open; the caller closes it after `stop`.
  ///
  /// - Throws: `StartError`, `AccessFile.Mistake`.
  public static func start(
    _ store: Store, _ options: ServiceOptions, logger: Logger
  ) async throws -> RepriseServer {
    try checkListeners(options)
    let responder = try Responder(store, options, logger)
    let certificates = try options.tls.map { files throws(StartError) in try Certificates(files) }
    let group = MultiThreadedEventLoopGroup(numberOfThreads: options.threads)
    for loop in group.makeIterator() { try await loop.submit { use_shortest_time_slices() }.get() }
    let connections = ConnectionSet()
    let queues = try await UsageQueues(group)
    var listening = Listening(responder, certificates, group, queues, connections)
    do {
      for listener in options.listeners { try await listening.open(listener) }
      var http: HTTPListening?
      if let (host, port) = options.http {
        http = try await HTTPListening(host, port, responder)
      }
      responder.setReady()
      return RepriseServer(responder, certificates, group, listening, connections, http)
    } catch {
      await listening.close()
      await responder.stop()
      try? await group.shutdownGracefully()
      throw error
    }
  }

  private init(
    _ responder: Responder, _ certificates: Certificates?, _ group: MultiThreadedEventLoopGroup,
    _ listening: Listening, _ connections: ConnectionSet, _ http: HTTPListening?
  ) {
    self.http = http
    self.responder = responder
    self.certificates = certificates
    self.group = group
    self.connections = connections
    self.listening = listening
    everySecond = group.next().scheduleRepeatedTask(
      initialDelay: .seconds(1), delay: .seconds(1)
    ) { _ in
      responder.closeSessions(endingBy: .now())
      responder.lookAtResources()
    }
  }

  /// Checks whether a service could start, as far as possible without starting it: addresses,
  /// access rules, the access file, the certificates.
  ///
  /// - Throws: `StartError`, `AccessFile.Mistake`.
  public static func check(_ options: ServiceOptions) throws {
    try checkListeners(options)
    for listener in options.listeners {
      switch listener {
      case .unixSocket(let path, _, let group): try SocketFile.check(path: path, group: group)
      case .tcp(let host, let port):
        try TCPSocket.check(host: host, port: port, as: "\(listener)")
      case .inherited: break
      }
    }
    if let (host, port) = options.http {
      try TCPSocket.check(host: host, port: port, as: "\(host):\(port) (http)")
    }
    if let path = options.accessFile { _ = try AccessFile(path: path) }
    if let files = options.tls { _ = try Certificates(files) }
  }

  private static func checkListeners(_ options: ServiceOptions) throws(StartError) {
    for listener in options.listeners {
      if case .unixSocket = listener { continue }
      if case .inherited(let descriptor) = listener, SocketFile.isUnixSocket(descriptor) {
        continue
      }
      if options.accessFile == nil { throw .tokensNeeded(address: "\(listener)") }
      if !listener.isLocal && options.tls == nil {
        throw .encryptionNeeded(address: "\(listener)")
      }
    }
  }

  /// The addresses on which it listens.
  public var addresses: [String] {
    listening.channels.map { channel in
      guard let address = channel.localAddress else { return "unknown" }
      return address.pathname ?? "\(address.ipAddress ?? ""):\(address.port ?? 0)"
    }
  }

  /// The operator's call that is being carried out, for example "snapshot restored"; nil if there
  /// is none.
  public var operationUnderWay: String? { responder.operationUnderWay.withLock { $0 } }

  /// Returns when every event loop has executed a task of this call.
  public func answers() async {
    for loop in group.makeIterator() { try? await loop.submit {}.get() }
  }

  /// The port of the first TCP listener.
  public var port: Int? { listening.channels.lazy.compactMap { $0.localAddress?.port }.first }

  /// The port of HTTP, on which metrics are served.
  public var httpPort: Int? { http?.channel.localAddress?.port }

  /// Reads the access file and the certificates again. A file with a mistake is ignored with a line
  /// in the log, and its old content stays in use.
  public func reload() {
    let logger = responder.logger
    do {
      try responder.access.reload()
      try certificates?.reload()
      logger.notice("access file and certificates read again")
    } catch {
      logger.error("not read again", metadata: ["error": "\(error)"])
    }
  }

  /// Stops accepting connections, answers the received requests, records open sessions and ends.
  ///
  /// An operator's call that is under way is completed first, however long it takes; drafts
  /// continue in the meantime. Calls that wait in the queue are answered with `busy`.
  public func stop() async throws {
    everySecond.cancel()
    responder.setStopping()
    await listening.close()
    await http?.draftsAreGiven()
    await responder.operations.stop()
    // Each connection's own event loop closes it, after the requests that it has received.
    await connections.closeAll()
    await responder.closeAllSessions()
    // Also for clients that have disconnected.
    await responder.workElsewhere.finish()
    await responder.stop()
    try await group.shutdownGracefully()
    await http?.close()
  }
}
