import ArgumentParser
import CorpusStore
import Foundation
import RepriseClient

/// The place of a command's history: a service's socket, or the directory of a store that no
/// service has open.
struct HistoryOptions: ParsableArguments {
  @Option(help: "Socket of a running service. [env: REPRISE_SOCKET]")
  var socket: String?

  @Option(
    help: ArgumentHelp("Address of a running service instead, over TCP.", valueName: "host:port"))
  var connect: String?

  @Option(
    help: "File with the access token for the service. [env: REPRISE_TOKEN, the token itself]")
  var tokenFile: String?

  @Option(help: "With --connect: PEM file of authorities, for a service that encrypts.")
  var tlsAuthority: String?

  @Option(help: "With --connect: PEM file of a client certificate, if the service requires one.")
  var tlsCertificate: String?

  @Option(help: "PEM file of its key.")
  var tlsKey: String?

  @Option(help: "Directory of a store that no service has open.")
  var store: String?

  func validate() throws {
    if [socket, connect, store].count(where: { $0 != nil }) > 1 {
      throw ValidationError("--socket, --connect and --store exclude each other; give one of them")
    }
    if connect == nil && (tlsAuthority != nil || tlsCertificate != nil) {
      throw ValidationError("a Unix socket is not encrypted; --tls-… goes with --connect")
    }
    if (tlsCertificate == nil) != (tlsKey == nil) {
      throw ValidationError("--tls-certificate and --tls-key go together; give both")
    }
  }

  /// True if a flag names a service, not only the environment.
  var namesService: Bool { socket != nil || connect != nil }

  /// The service that a flag or the environment names.
  func service() throws -> ServiceAccess? {
    if store != nil { return nil }
    if let connect {
      let parts = connect.split(separator: ":").map(String.init)
      guard parts.count == 2, let port = Int(parts[1]) else {
        throw ValidationError("--connect is \"\(connect)\", expected HOST:PORT")
      }
      return ServiceAccess(
        .tcp(host: parts[0], port: port), token: try token(),
        tls: tlsAuthority == nil && tlsCertificate == nil
          ? nil
          : RepriseClient.TLS(authority: tlsAuthority, certificate: tlsCertificate, key: tlsKey))
    }
    guard let path = socket ?? ProcessInfo.processInfo.environment["REPRISE_SOCKET"] else {
      return nil
    }
    return ServiceAccess(.unixSocket(path: path), token: try token(), tls: nil)
  }

  private func token() throws -> String? {
    guard let tokenFile else { return ProcessInfo.processInfo.environment["REPRISE_TOKEN"] }
    guard let text = try? String(contentsOfFile: tokenFile, encoding: .utf8) else {
      throw ValidationError("--token-file \(tokenFile) cannot be read")
    }
    return text.trimmingCharacters(in: .whitespacesAndNewlines)
  }

  /// - Parameter writes: True if enough will be written for the store to be compacted in the
  ///   meantime. A command that only reads starts no work that it would have to wait for.
  func open(toWrite writes: Bool = false) throws -> any HistoryAccess {
    if let store {
      var options = StoreOptions()
      options.compactsInBackground = writes
      options.memory = MemoryBudget(limit: Machine.memoryBytesDefault)
      return StoreAccess(try Store(path: store, options: options))
    }
    guard let service = try service() else {
      throw ValidationError("name a service with --socket PATH, or a store with --store DIR")
    }
    return service
  }
}
