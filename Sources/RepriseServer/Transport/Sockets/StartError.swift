/// The reason why a service does not start.
public enum StartError: Error, Equatable, CustomStringConvertible {
  /// A service answers on the socket already.
  case alreadyServed(path: String)
  /// The socket's path leads to something else than a socket.
  case notASocket(path: String)
  /// The path is longer than the system allows.
  case pathTooLong(path: String, bytesMax: Int)
  case cannotListen(address: String, reason: String)
  /// There is no such group for the socket's file.
  case unknownGroup(String)
  /// A host name without an address.
  case unknownHost(String, address: String)
  /// TCP has no file whose mode could restrict access.
  case tokensNeeded(address: String)
  /// Tokens and text would cross the network unencrypted.
  case encryptionNeeded(address: String)
  case certificate(reason: String)

  /// True if starting fails again in the same way until a setting, or a file that it names, is
  /// changed. Other errors may disappear without that.
  public var isConfiguration: Bool {
    switch self {
    case .alreadyServed, .cannotListen: false
    case .notASocket, .pathTooLong, .unknownGroup, .unknownHost, .tokensNeeded, .encryptionNeeded,
      .certificate:
      true
    }
  }

  public var description: String {
    switch self {
    case .alreadyServed(let path):
      "a service answers on \(path) already; stop it, or choose another path"
    case .notASocket(let path):
      "\(path) exists and is not a socket; remove it, or choose another path"
    case .pathTooLong(let path, let bytesMax):
      "the socket path \(path) has more than \(bytesMax) bytes, which the system does not "
        + "allow; choose a shorter one"
    case .cannotListen(let address, let reason): "cannot listen on \(address): \(reason)"
    case .unknownGroup(let group):
      "there is no group \(group) for the socket's file; choose one that `getent group` shows"
    case .unknownHost(let host, let address):
      "cannot listen on \(address): there is no host \(host); give an address of this machine"
    case .tokensNeeded(let address):
      "access to \(address) would be open to everyone; restrict it with an access file, or use a Unix "
        + "socket"
    case .encryptionNeeded(let address):
      "other hosts reach \(address), and tokens and text would cross the network in the clear; give "
        + "a certificate and its key, or listen on 127.0.0.1"
    case .certificate(let reason): "TLS: \(reason)"
    }
  }
}
