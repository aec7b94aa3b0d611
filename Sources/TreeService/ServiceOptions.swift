import WireProtocol

/// Where the service listens, whom it answers, and what it takes.
public struct ServiceOptions: Sendable {
  public var listeners: [Listener]
  /// File of access tokens. Without one, whoever may open the Unix socket may do everything, and TCP
  /// is refused.
  public var accessFile: String?
  /// What connections over TCP are encrypted with. Addresses that other hosts reach need it.
  public var tls: TLSFiles?
  /// Where metrics and health are told over HTTP, to whoever asks; nil for nowhere.
  public var http: (host: String, port: Int)?
  /// Connections over HTTP at once: scrapers, orchestrators, engines.
  public var httpConnectionsMax = 64
  public var limits = Limits()
  /// Event loops. Each answers its connections itself.
  public var threads = 2
  /// Lease of a session that names none.
  public var sessionSeconds = 600
  /// Closed sessions whose index is kept for a turn that goes on from there, tokens in them, and for how
  /// many seconds each is. They take at most an eighth of `memory_bytes`, and go first where memory is
  /// short.
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
  /// Certificates of authorities; clients must then have a certificate of one of them.
  public var clientAuthority: String?

  public init(certificate: String, key: String, clientAuthority: String? = nil) {
    self.certificate = certificate
    self.key = key
    self.clientAuthority = clientAuthority
  }
}

/// The version that `server.info` and `--version` tell.
public let repriseVersion = "0.1.0"
