import RepriseModel
import WireProtocol

/// The addresses, access rules and limits of the service.
public struct ServiceOptions: Sendable {
  /// The addresses that accept the line protocol.
  public var listeners: [Listener]
  /// The file of access tokens. Without one, every user who may open the Unix socket may do
  /// everything, and TCP is refused.
  public var accessFile: String?
  /// The files for encrypting connections over TCP. Addresses that other hosts reach need them.
  public var tls: TLSFiles?
  /// The HTTP address of metrics and health, open to every client; nil for none.
  public var http: (host: String, port: Int)?
  /// The most connections over HTTP: scrapers, orchestrators, engines.
  public var httpConnectionsMax = 64
  public var limits = Limits()
  /// The number of event loops. Each answers its connections itself.
  public var threads = 2
  /// The lease of a session that names none, in seconds.
  public var sessionSeconds = 600
  /// The most closed sessions whose index is kept for a chat turn that continues them, the tokens
  /// in them, and the number of seconds for which each is kept. They take at most an eighth of
  /// `memory_bytes`, and are dropped first if memory is short.
  public var parkedSessionsMax = 256
  public var parkedTokensMax = 1 << 20
  public var parkedSeconds = 45

  public init(_ listeners: Listener...) {
    self.listeners = listeners
  }
}

/// PEM files.
public struct TLSFiles: Hashable, Sendable {
  /// The service's certificate, and those between it and the authority that its clients trust.
  public var certificate: String
  public var key: String
  /// Certificates of authorities; clients must then have a certificate signed by one of them.
  public var clientAuthority: String?

  public init(certificate: String, key: String, clientAuthority: String? = nil) {
    self.certificate = certificate
    self.key = key
    self.clientAuthority = clientAuthority
  }
}
