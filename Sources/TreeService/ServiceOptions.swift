import WireProtocol

/// How the service listens and what it takes.
public struct ServiceOptions: Sendable {
  public enum Address: Equatable, Sendable, CustomStringConvertible {
    /// A Unix socket, made with mode 0600: who may open the file may use the service.
    case unixSocket(path: String)
    /// Loopback only: without encryption and access control nothing else is allowed.
    case loopback(port: Int)

    public var description: String {
      switch self {
      case .unixSocket(let path): path
      case .loopback(let port): "127.0.0.1:\(port)"
      }
    }
  }

  public var address: Address
  public var limits = Limits()
  /// Event loops. Each answers its connections itself.
  public var threads = 2
  /// Lease of a session that names none.
  public var sessionSeconds = 600
  /// Closed sessions whose index is kept for a turn that goes on from there, and tokens in them.
  public var parkedSessionsMax = 256
  public var parkedTokensMax = 1 << 20

  public init(address: Address) {
    self.address = address
  }
}

/// The version that `server.info` and `--version` tell.
public let repriseVersion = "0.1.0"
