/// An address on which the service listens.
public enum Listener: Hashable, Sendable, CustomStringConvertible {
  /// A Unix socket. Users with the right to open its file may connect.
  ///
  /// - Parameters:
  ///   - mode: Permission bits of the file.
  ///   - group: Name or number of its group; nil leaves the process's.
  case unixSocket(path: String, mode: UInt32 = 0o600, group: String? = nil)
  case tcp(host: String, port: Int)
  /// A socket that systemd has already bound.
  case inherited(descriptor: Int32)

  public var description: String {
    switch self {
    case .unixSocket(let path, _, _): path
    case .tcp(let host, let port): host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
    case .inherited(let descriptor): "inherited socket \(descriptor)"
    }
  }

  /// True if only processes of this host reach it.
  var isLocal: Bool {
    switch self {
    case .unixSocket: true
    case .tcp(let host, _): host.hasPrefix("127.") || host == "::1" || host == "localhost"
    case .inherited: false
    }
  }

  /// Reads `HOST:PORT`, `[ADDRESS]:PORT`, or a port on 127.0.0.1.
  public init?(tcp text: String) {
    let (host, digits): (Substring, Substring)
    if let colon = text.lastIndex(of: ":") {
      (host, digits) = (text[..<colon], text[text.index(after: colon)...])
    } else {
      (host, digits) = ("127.0.0.1", text[...])
    }
    guard let port = Int(digits), (0...65535).contains(port) else { return nil }
    let isBracketed = host.hasPrefix("[") && host.hasSuffix("]")
    let bare = isBracketed ? host.dropFirst().dropLast() : host
    if bare.isEmpty || (bare.contains(":") != isBracketed) { return nil }
    self = .tcp(host: String(bare), port: port)
  }
}
