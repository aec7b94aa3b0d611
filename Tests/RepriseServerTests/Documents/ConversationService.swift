import Access
import CorpusStore
import Foundation
import Logging
import RepriseServer
import TestSupport

/// A service over an empty store, the starting point of the documents' examples.
final class ConversationService {
  private let directory = NSTemporaryDirectory() + "reprise-\(UUID().uuidString.prefix(8))"
  private let store: Store
  private let service: RepriseServer
  var socket: String { directory + "/s" }

  /// - Parameter token: The token of a holder with all rights; with nil no client needs one.
  init(token: String?) async throws {
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    store = try Store(path: directory + "/store")
    var options = ServiceOptions(.unixSocket(path: directory + "/s"))
    if let token {
      let access = directory + "/access.json"
      try AccessFile.add(
        AccessFile.Entry(
          grant: Grant(name: "operator", corpora: [.all], rights: .all),
          digest: TokenDigest(token: token)),
        to: access)
      options.accessFile = access
    }
    service = try await RepriseServer.start(
      store, options, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
  }

  func stop() async throws {
    try await service.stop()
    store.close()
    try FileManager.default.removeItem(atPath: directory)
  }
}

/// A service that reads a snapshot.
struct ReadingService {
  let store: Store

  init(snapshot path: String) throws {
    store = try Store(snapshot: path)
  }

  /// Serves the snapshot while `body` runs.
  func serve(_ body: (LineConnection) throws -> Void) async throws {
    let socket = NSTemporaryDirectory() + "reprise-\(UUID().uuidString.prefix(8))"
    let service = try await RepriseServer.start(
      store, ServiceOptions(.unixSocket(path: socket)),
      logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    let connection = try LineConnection(socket)
    let result = Result { try body(connection) }
    connection.close()
    try await service.stop()
    store.close()
    try result.get()
  }
}
