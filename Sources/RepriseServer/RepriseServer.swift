import Access
import CLinux
import CorpusStore
import Logging
import NIOCore
import NIOPosix

/// The service: a store behind sockets.
///
/// Requests are read, answered and written by the event loop of their connection. `start` listens;
/// `stop` answers the received requests, records open sessions, and commits.
public final class RepriseServer: Sendable {
  private let application: Application
  private let transport: LineTransport
  private let certificates: Certificates?
  private let group: MultiThreadedEventLoopGroup
  private let listening: LineListening
  private let http: HTTPListening?
  private let everySecond: RepeatedTask
  private let logger: Logger

  /// Starts listening. The store must be open; the caller closes it after `stop`.
  ///
  /// - Throws: `StartError`, `AccessFile.Mistake`.
  public static func start(
    _ store: Store, _ options: ServiceOptions, logger: Logger
  ) async throws -> RepriseServer {
    try checkListeners(options)
    let logger = Logger(label: logger.label) { _ in BoundedLog(logger.handler) }
    let application = try Application(store, options, logger)
    let transport = LineTransport(application, logger)
    let certificates = try options.tls.map { files throws(StartError) in try Certificates(files) }
    let group = MultiThreadedEventLoopGroup(numberOfThreads: options.threads)
    for loop in group.makeIterator() { try await loop.submit { use_shortest_time_slices() }.get() }
    var listening = LineListening(transport, certificates, group, try await UsageQueues(group))
    do {
      for listener in options.listeners { try await listening.open(listener) }
      var http: HTTPListening?
      if let (host, port) = options.http {
        http = try await HTTPListening(
          host, port, application, connectionsMax: options.httpConnectionsMax)
      }
      application.service.setReady()
      return RepriseServer(application, transport, certificates, group, listening, http, logger)
    } catch {
      await listening.close()
      await application.threads.stop()
      try? await group.shutdownGracefully()
      throw error
    }
  }

  private init(
    _ application: Application, _ transport: LineTransport, _ certificates: Certificates?,
    _ group: MultiThreadedEventLoopGroup, _ listening: LineListening, _ http: HTTPListening?,
    _ logger: Logger
  ) {
    self.application = application
    self.transport = transport
    self.certificates = certificates
    self.group = group
    self.listening = listening
    self.http = http
    self.logger = logger
    everySecond = group.next().scheduleRepeatedTask(
      initialDelay: .seconds(1), delay: .seconds(1)
    ) { _ in application.lookAfter(at: .now()) }
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
  public var operationUnderWay: String? { application.operations.underWay }

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
    do {
      try application.access.reload()
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
    application.service.setStopping()
    await listening.close()
    await http?.draftsAreGiven()
    await application.operations.stop()
    // Each connection's own event loop closes it, after the requests that it has received.
    await transport.connections.closeAll()
    await application.sessions.closeAll()
    // Also for clients that have disconnected.
    await transport.finishWorkElsewhere()
    await application.threads.stop()
    try await group.shutdownGracefully()
    await http?.close()
  }
}
