import Glibc

extension sockaddr_un {
  /// Bytes of the longest path that a Unix socket may have: the kernel's 108, and a zero behind it.
  public static let pathBytesMax = 107

  /// Makes the address of a Unix socket.
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
