import RepriseClient

/// A `reprise serve` over a store, and connections to it.
struct Served {
  let process: ChildProcess
  let client: RepriseClient
  private let socket: String

  init(_ reprise: String, store: String, socket: String) throws {
    process = try ChildProcess.serving(
      reprise, ["serve", "--store", store, "--socket", socket, "--log-level", "warning"],
      socket: socket)
    client = RepriseClient(.unixSocket(path: socket))
    self.socket = socket
  }

  func connect() throws -> LineSocket {
    guard let connection = LineSocket(socket) else { throw BenchError("no connection") }
    return connection
  }

  func stop() async {
    await client.close()
    process.stop()
  }
}
