import CorpusStore
import Foundation
import Glibc
import Logging
import RepriseClient
import RepriseModel
import TreeService
import WireProtocol

/// A service on a socket in a directory of its own.
final class ServiceFixture {
  let directory: String
  let socket: String
  let store: Store
  let service: TreeService
  let client: RepriseClient
  let accessFile: String?

  /// - Parameter token: The token that the fixture's client presents.
  init(
    token: String? = nil, _ change: (inout ServiceOptions) -> Void = { _ in }
  ) async throws {
    directory = NSTemporaryDirectory() + "reprise-\(UUID().uuidString.prefix(8))"
    try FileManager.default.createDirectory(
      atPath: directory, withIntermediateDirectories: true)
    socket = directory + "/s"
    store = try Store(path: directory + "/store")
    var options = ServiceOptions(.unixSocket(path: socket))
    change(&options)
    accessFile = options.accessFile
    var logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    logger.logLevel = .critical
    service = try await TreeService.start(store, options, logger: logger)
    var configuration = RepriseClient.Configuration.patient
    configuration.accessToken = token
    client = RepriseClient(.unixSocket(path: socket), configuration: configuration)
    try await client.createCorpus("c")
  }

  /// Must be called: the threads of a service outlive the references to it.
  func stop() async throws {
    await client.close()
    try await service.stop()
    store.close()
    try FileManager.default.removeItem(atPath: directory)
  }
}

extension RepriseClient.Configuration {
  /// Deadlines that only a hanging service misses: many tests run at once, on few threads.
  static var patient: Self {
    var configuration = Self()
    configuration.deadline = .seconds(300)
    configuration.writeDeadline = .seconds(300)
    return configuration
  }
}

/// Runs `body` and stops the service in every case.
func withService(
  _ change: (inout ServiceOptions) -> Void = { _ in },
  _ body: (ServiceFixture) async throws -> Void
) async throws {
  let fixture = try await ServiceFixture(change)
  do {
    try await body(fixture)
  } catch {
    try await fixture.stop()
    throw error
  }
  try await fixture.stop()
}

func sequence(_ tokens: [Int32], id: String? = nil) -> NewSequence {
  NewSequence(id: id, tokens: tokens)
}

/// A plain blocking socket, for bytes that a regular client would never send.
final class RawConnection: @unchecked Sendable {
  // @unchecked Sendable: a socket may be sent to by one thread and received from by another;
  // `received` is the receiver's.
  private let descriptor: Int32
  private var isClosed = false
  private var received: [UInt8] = []

  init(_ path: String) throws {
    descriptor = Glibc.socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: path.utf8) }
    let size = socklen_t(MemoryLayout<sockaddr_un>.size)
    let status = unsafe withUnsafePointer(to: &address) {
      unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        unsafe connect(descriptor, $0, size)
      }
    }
    if status != 0 { throw CocoaError(.fileNoSuchFile) }
  }

  deinit { close() }

  /// Sends text. Returns true if all of it could be sent.
  @discardableResult func send(_ text: String) -> Bool {
    let bytes = [UInt8](text.utf8)
    var sent = 0
    while sent < bytes.count {
      let count = unsafe bytes[sent...].withUnsafeBytes { bytes in
        unsafe Glibc.send(descriptor, bytes.baseAddress, bytes.count, Int32(MSG_NOSIGNAL))
      }
      if count <= 0 { return false }
      sent += count
    }
    return true
  }

  /// Signals that no more will be sent.
  func endSending() { shutdown(descriptor, Int32(SHUT_WR)) }

  /// The next line, or nil when the service has closed the connection.
  func line() -> String? {
    while true {
      if let newline = received.firstIndex(of: UInt8(ascii: "\n")) {
        let line = String(decoding: received[..<newline], as: UTF8.self)
        received.removeSubrange(...newline)
        return line
      }
      var buffer = [UInt8](repeating: 0, count: 1 << 16)
      let count = unsafe buffer.withUnsafeMutableBytes {
        unsafe recv(descriptor, $0.baseAddress, $0.count, 0)
      }
      if count <= 0 { return nil }
      received += buffer.prefix(count)
    }
  }

  /// True if bytes have arrived that were not received yet, or the other side has closed.
  var hasInput: Bool {
    var state = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    return unsafe !received.isEmpty || poll(&state, 1, 0) > 0
  }

  /// Closes the socket once: the number may belong to another file afterwards.
  func close() {
    if !isClosed { Glibc.close(descriptor) }
    isClosed = true
  }
}
