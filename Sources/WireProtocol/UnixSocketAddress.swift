import Glibc

extension sockaddr_un {
  /// Bytes of the longest path of a Unix socket: the kernel's 108, less the zero byte at the end.
  public static let pathBytesMax = 107

  /// Creates the address of a Unix socket.
  ///
  /// - Returns: nil for a path of more than `pathBytesMax` bytes, or with a zero byte.
  public init?(path: String) {
    if path.utf8.count > Self.pathBytesMax || path.utf8.contains(0) { return nil }
    self.init()
    sun_family = sa_family_t(AF_UNIX)
    // SAFETY: the path is shorter than `sun_path`, which is zero.
    unsafe withUnsafeMutableBytes(of: &sun_path) { unsafe $0.copyBytes(from: path.utf8) }
  }
}
