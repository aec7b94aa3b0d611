import Glibc
import NIOCore
import NIOPosix
import SystemPackage
import UnixSocket

extension RepriseClient.Address: CustomStringConvertible {
  public var description: String {
    switch self {
    case .unixSocket(let path): path
    case .tcp(let host, let port): host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
    }
  }

  /// The address that NIO connects to; nil if the path is too long for the system.
  var unixSocketAddress: SocketAddress? {
    guard case .unixSocket(let path) = self else { return nil }
    // NIO's own bound on paths is that of another system.
    return UnixAddress(path: path).map { SocketAddress($0.value) }
  }

  /// The reason why no connection was established, for people: the address, what was wrong, what to
  /// do.
  func reason(_ error: any Error) -> String {
    switch error {
    case let error as IOError: reason(errno: error.errnoCode)
    case let error as NIOConnectionError:
      if let failure = error.connectionErrors.first {
        reason(failure.error)
      } else {
        "the host of \(self) is not known; check its name"
      }
    case is SocketAddressError: "the host of \(self) is not known; check its name"
    case ChannelError.connectTimeout: "\(self) does not answer; check the address and the network"
    default: "\(self): \(error)"
    }
  }

  private func reason(errno: Int32) -> String {
    let isSocket = if case .unixSocket = self { true } else { false }
    return switch errno {
    case ENOENT: "there is no socket \(self); start the service, or name its socket"
    case ECONNREFUSED:
      "nothing listens on \(self); start the service, or name "
        + (isSocket ? "its socket" : "its address")
    case EACCES:
      "this user may not connect to \(self); see the mode and the group of the socket, and the rights "
        + "of its directories"
    default: "\(self): \(Errno(rawValue: errno)); check the address"
    }
  }

  /// The reason why a path cannot be a socket's.
  var pathTooLong: String {
    "\(self) has \(description.utf8.count) bytes, and the path of a socket has at most "
      + "\(UnixAddress.pathBytesMax); name a shorter one"
  }
}
