import ArgumentParser
import CorpusStore
import Foundation
import RepriseClient

/// Where a command finds its history: behind a socket, or in a store's directory that no service
/// has open.
struct HistoryOptions: ParsableArguments {
  @Option(help: "Socket of a running service. [env: REPRISE_SOCKET]")
  var socket: String?

  @Option(help: "Directory of a store that no service has open.")
  var store: String?

  func validate() throws {
    if socket != nil && store != nil {
      throw ValidationError("--socket and --store exclude each other; give one of them")
    }
  }

  /// The socket that is named here or in the environment.
  var socketOrDefault: String? {
    store == nil ? socket ?? ProcessInfo.processInfo.environment["REPRISE_SOCKET"] : nil
  }

  func open() throws -> any HistoryAccess {
    if let store {
      var options = StoreOptions()
      options.compactsInBackground = true
      return StoreAccess(try Store(path: store, options: options))
    }
    guard let socket = socketOrDefault else {
      throw ValidationError("name a service with --socket PATH, or a store with --store DIR")
    }
    return ServiceAccess(socket: socket)
  }
}
