import CLinux
import Glibc
import NIOCore

/// The origin of a connection, as the log shows it.
enum Peer {
  static func description(of channel: any Channel) -> String {
    switch channel.remoteAddress {
    case .v4(let address)?: "\(address.host):\(channel.remoteAddress?.port ?? 0)"
    case .v6(let address)?: "[\(address.host)]:\(channel.remoteAddress?.port ?? 0)"
    case .unixDomainSocket?, nil: credentials(of: channel) ?? "unknown"
    }
  }

  /// The kernel's data on the process at the other end of a Unix socket.
  private static func credentials(of channel: any Channel) -> String? {
    guard let options = channel as? any SocketOptionProvider else { return nil }
    let found =
      options.unsafeGetSocketOption(
        level: .socket, name: .init(rawValue: SO_PEERCRED)) as EventLoopFuture<peer_credentials>
    // On the channel's event loop the option is available at once.
    var credentials: peer_credentials?
    found.assumeIsolated().whenSuccess { credentials = $0 }
    return credentials.map { "uid \($0.user) gid \($0.group) pid \($0.process)" }
  }
}
