import ArgumentParser

/// The flags of `reprise serve`. All of them may also be set by environment and file, so none has a
/// default here.
struct ServeFlags: ParsableArguments {
  @Option(help: "Directory of the store; created if it does not exist.")
  var store: String?

  @Option(help: "File of a snapshot to serve for reading, instead of a store.")
  var snapshot: String?

  @Option(help: "Unix socket to answer on.")
  var socket: String?

  @Option(help: "Permission bits of the socket's file, in octal digits. (default: 600)")
  var socketMode: String?

  @Option(help: "Group of the socket's file.")
  var socketGroup: String?

  @Option(
    help: ArgumentHelp(
      "Address to answer on over TCP, HOST:PORT, or a port on 127.0.0.1. Needs --access, and TLS "
        + "unless on loopback.", valueName: "address"))
  var listen: String?

  @Option(help: "PEM file of the certificate for TCP, and of its intermediate certificates.")
  var tlsCertificate: String?

  @Option(help: "PEM file of the certificate's key.")
  var tlsKey: String?

  @Option(help: "PEM file of authorities. Clients must have a certificate signed by one of them.")
  var tlsClientAuthority: String?

  @Option(help: "File of access tokens; `reprise token create` adds one.")
  var access: String?

  @Option(
    help: ArgumentHelp(
      "Address for metrics and health over HTTP, HOST:PORT, or a port on 127.0.0.1.",
      valueName: "address"))
  var http: String?

  @Option(
    help:
      "Event loops; each answers its connections itself. (default: 2, or fewer with fewer cores)")
  var threads: Int?

  @Option(
    help: ArgumentHelp(
      "Number of cores, the last ones, that event loops leave to other work, so that it delays no "
        + "step. (default: 0, all share all)", valueName: "cores"))
  var backgroundCores: Int?

  @Option(help: "Most bytes that a corpus may grow to, as address space. (default: 64 GiB)")
  var mapBytes: Int?

  @Option(help: "Tokens after which a growing index is sealed.")
  var sealTokens: Int?

  @Option(
    help:
      "Seconds after which a session without calls ends, unless it sets ttl_s. (default: 600)")
  var sessionSeconds: Int?

  @Option(help: "Seconds that stopping may take. (default: 60)")
  var drainSeconds: Int?

  @Option(
    name: .customLong("limit"),
    help: ArgumentHelp(
      "A limit, under its name in docs/guide/protocol.md; may be repeated.",
      valueName: "name=value"))
  var limits: [String] = []

  @Option(
    help: "Lowest level logged: trace, debug, info, notice, warning, error. (default: info)")
  var logLevel: String?
}
