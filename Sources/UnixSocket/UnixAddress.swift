import Glibc

/// The address of a Unix socket: a path, or a name without a file.
public struct UnixAddress: Sendable {
  /// The address as the system's calls and NIO take it.
  public private(set) var value = sockaddr_un()
  private let byteCount: socklen_t

  /// Bytes of the longest path of a Unix socket: the kernel's 108, less the zero byte at the end.
  public static let pathBytesMax = 107

  private static let pathOffset = MemoryLayout<sockaddr_un>.offset(of: \.sun_path) ?? 2

  /// Creates the address of a socket with a file.
  ///
  /// - Returns: nil for a path of more than `pathBytesMax` bytes, or with a zero byte.
  public init?(path: String) {
    if path.utf8.contains(0) { return nil }
    self.init(Array(path.utf8), byteCount: MemoryLayout<sockaddr_un>.size)
  }

  /// Creates the address from the notation of sd_notify(3): a path, or `@` and an abstract name, which
  /// has no file.
  ///
  /// - Returns: nil for a path or a name of more than `pathBytesMax` bytes.
  public init?(pathOrAbstractName text: String) {
    var bytes = Array(text.utf8)
    // The kernel tells an abstract name by a first byte of zero, and its end by the address's length.
    if bytes.first == UInt8(ascii: "@") { bytes[0] = 0 }
    self.init(bytes, byteCount: Self.pathOffset + bytes.count)
  }

  private init?(_ bytes: [UInt8], byteCount: Int) {
    if bytes.count > Self.pathBytesMax { return nil }
    self.byteCount = socklen_t(byteCount)
    value.sun_family = sa_family_t(AF_UNIX)
    // SAFETY: the bytes are fewer than those of `sun_path`, which is zero.
    unsafe withUnsafeMutableBytes(of: &value.sun_path) { unsafe $0.copyBytes(from: bytes) }
  }

  // MARK: Calls of the system, which set errno where they fail

  /// Connects a socket. Returns 0, or −1.
  public func connect(_ socket: Int32) -> Int32 {
    unsafe withPointer { unsafe Glibc.connect(socket, $0, byteCount) }
  }

  /// Binds a socket, which creates its file. Returns 0, or −1.
  public func bind(_ socket: Int32) -> Int32 {
    unsafe withPointer { unsafe Glibc.bind(socket, $0, byteCount) }
  }

  /// Sends a datagram. Returns the number of its bytes, or −1.
  @discardableResult
  public func send(_ bytes: [UInt8], from socket: Int32) -> Int {
    unsafe withPointer {
      // SAFETY: the array's own bytes.
      unsafe sendto(socket, bytes, bytes.count, Int32(MSG_NOSIGNAL), $0, byteCount)
    }
  }

  private func withPointer<Result>(_ body: (UnsafePointer<sockaddr>) -> Result) -> Result {
    // SAFETY: every address begins as a sockaddr does.
    unsafe withUnsafePointer(to: value) { pointer in
      unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { unsafe body($0) }
    }
  }
}
