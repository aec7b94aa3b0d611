import Glibc
import SystemPackage

/// Listening sockets of TCP.
enum TCPSocket {
  /// Listens at the first address of a host name.
  ///
  /// - Parameter name: The name of the address in messages.
  /// - Returns: The listening socket, which does not block.
  /// - Throws: `unknownHost`, `cannotListen`.
  static func listen(host: String, port: Int, as name: String) throws(StartError) -> Int32 {
    try unsafe withAddress(host, port, name) { (address) throws(StartError) in
      let kind = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)
      let socket = unsafe Glibc.socket(address.ai_family, kind, 0)
      var failure: Int32? = socket < 0 ? errno : nil
      if failure == nil {
        var one: Int32 = 1
        unsafe setsockopt(
          socket, SOL_SOCKET, SO_REUSEADDR, &one, socklen_t(MemoryLayout<Int32>.size))
        if unsafe bind(socket, address.ai_addr, address.ai_addrlen) != 0
          || Glibc.listen(socket, Int32(SocketFile.backlog)) != 0
        {
          failure = errno
          close(socket)
        }
      }
      if let failure { throw .cannotListen(address: name, reason: reason(failure)) }
      return socket
    }
  }

  private static func reason(_ failure: Int32) -> String {
    switch failure {
    case EADDRINUSE: "another process listens there; choose another port"
    case EACCES: "this user may not listen there; choose a port from 1024 on"
    case EADDRNOTAVAIL: "this machine does not have that address; choose one of its own"
    default: "\(Errno(rawValue: failure))"
    }
  }

  /// Checks that a host name has an address.
  ///
  /// - Throws: `unknownHost`; `cannotListen` if this cannot be found out now.
  static func check(host: String, port: Int, as name: String) throws(StartError) {
    try unsafe withAddress(host, port, name) { (_) throws(StartError) in }
  }

  private static func withAddress<Result>(
    _ host: String, _ port: Int, _ name: String, _ body: (addrinfo) throws(StartError) -> Result
  ) throws(StartError) -> Result {
    var hints = unsafe addrinfo()
    unsafe hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
    unsafe hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV
    var found: UnsafeMutablePointer<addrinfo>?
    let code = unsafe getaddrinfo(host, "\(port)", &hints, &found)
    guard code == 0, let first = unsafe found else {
      // SAFETY: gai_strerror returns a C string for every number.
      let reason = unsafe String(cString: gai_strerror(code))
      if code == EAI_AGAIN || code == EAI_MEMORY || code == EAI_SYSTEM {
        throw .cannotListen(address: name, reason: "\(host) cannot be resolved now: \(reason)")
      }
      throw .unknownHost(host, address: name)
    }
    defer { unsafe freeaddrinfo(first) }
    return try unsafe body(first.pointee)
  }
}
