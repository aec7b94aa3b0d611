import RepriseClient
import TestSupport

/// A `reprise serve` over a store, and connections to it.
struct Served {
  let process: ServiceProcess
  let client: RepriseClient
  private let socket: String

  init(_ reprise: String, store: String, socket: String) throws {
    process = try ServiceProcess.serving(
      reprise, ["serve", "--store", store, "--socket", socket, "--log-level", "warning"],
      socket: socket)
    client = RepriseClient(.unixSocket(path: socket))
    self.socket = socket
  }

  func connect() throws -> LineConnection {
    try LineConnection(socket)
  }

  func stop() async {
    await client.close()
    process.stop()
  }
}
