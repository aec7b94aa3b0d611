import CorpusStore
import Foundation
import Logging
import RepriseClient
import RepriseModel
import RepriseServer
import WireProtocol

/// A service on a socket in a directory of its own.
final class ServiceFixture {
  let directory: String
  let socket: String
  let store: Store
  let service: RepriseServer
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
    service = try await RepriseServer.start(store, options, logger: logger)
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
