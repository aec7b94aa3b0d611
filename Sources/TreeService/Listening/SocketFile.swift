import Foundation
import NIOCore
import WireProtocol

/// The file of a Unix socket.
struct SocketFile {
  let path: String
  let mode: UInt32
  let group: String?

  /// What NIO binds to. NIO's own bound of paths is that of another system.
  func address() throws(StartError) -> SocketAddress {
    guard let address = sockaddr_un(path: path) else {
      throw .pathTooLong(path: path, bytesMax: sockaddr_un.pathBytesMax)
    }
    return SocketAddress(address)
  }

  /// Removes a socket that nobody answers on any more; refuses one that somebody does.
  func clear() throws(StartError) {
    _ = try address()
    var status = stat()
    guard unsafe lstat(path, &status) == 0 else { return }
    guard status.st_mode & S_IFMT == S_IFSOCK else { throw .notASocket(path: path) }
    if isAnswered { throw .alreadyServed(path: path) }
    unsafe unlink(path)
  }

  private var isAnswered: Bool {
    let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
    defer { Foundation.close(descriptor) }
    guard var address = sockaddr_un(path: path) else { return false }
    let size = socklen_t(MemoryLayout<sockaddr_un>.size)
    return unsafe withUnsafePointer(to: &address) { pointer in
      unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
        unsafe connect(descriptor, address, size) == 0
      }
    }
  }

  /// Gives the file to those who are to have it. Until then it is its owner's alone: it must have
  /// been bound with a mask of 0177.
  func open() throws(StartError) {
    if let group {
      guard let number = Self.number(ofGroup: group) else {
        throw .cannotListen(address: path, reason: "there is no group \(group)")
      }
      if unsafe chown(path, uid_t.max, number) != 0 {
        let reason = unsafe String(cString: strerror(errno))
        throw .cannotListen(
          address: path, reason: "its file cannot be given to group \(group): \(reason)")
      }
    }
    unsafe chmod(path, mode)
  }

  /// Whether an open socket is one of this kind.
  static func isUnixSocket(_ descriptor: Int32) -> Bool {
    var domain: Int32 = 0
    var size = socklen_t(MemoryLayout<Int32>.size)
    return unsafe getsockopt(descriptor, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0
      && domain == AF_UNIX
  }

  func remove() { unsafe unlink(path) }

  private static func number(ofGroup name: String) -> gid_t? {
    if let number = gid_t(name) { return number }
    // SAFETY: getgrnam returns nil or an entry that stays until the next call; one thread starts.
    return unsafe getgrnam(name)?.pointee.gr_gid
  }
}
