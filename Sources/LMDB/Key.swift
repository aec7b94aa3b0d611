import CLMDB

/// A key: 1 to 511 bytes. Numbers are written with their highest byte first, so that the order of
/// the bytes is the order of the numbers.
public struct Key: Sendable {
  /// The longest key, in bytes; LMDB's own bound.
  public static let bytesMax = 511

  private let bytes: [UInt8]

  /// Creates a key of these bytes.
  ///
  /// - Precondition: 1 to `bytesMax` bytes.
  public init(bytes: [UInt8]) {
    precondition(
      (1...Self.bytesMax).contains(bytes.count), "a key has 1 to \(Self.bytesMax) bytes")
    self.bytes = bytes
  }

  public init(_ text: String) {
    self.init(bytes: [UInt8](text.utf8))
  }

  public init(_ number: UInt64) {
    self.init(bytes: (0..<8).map { UInt8(truncatingIfNeeded: number >> (56 - 8 * $0)) })
  }

  public init(_ number: UInt64, _ part: UInt32) {
    self.init(
      bytes: (0..<8).map { UInt8(truncatingIfNeeded: number >> (56 - 8 * $0)) }
        + (0..<4).map { UInt8(truncatingIfNeeded: part >> (24 - 8 * $0)) })
  }

  /// The number in a key's first eight bytes, or nil if the key is shorter.
  public static func number(_ key: RawSpan) -> UInt64? {
    guard key.byteCount >= 8 else { return nil }
    // SAFETY: the bounds were checked, and any bytes are a valid integer.
    return UInt64(bigEndian: unsafe key.unsafeLoadUnaligned(as: UInt64.self))
  }

  @unsafe
  func withValue(_ body: (inout MDB_val) -> Void) {
    unsafe bytes.withUnsafeBytes { bytes in
      // SAFETY: LMDB neither writes through a key's pointer nor keeps it.
      var value = unsafe MDB_val(
        mv_size: bytes.count, mv_data: UnsafeMutableRawPointer(mutating: bytes.baseAddress))
      unsafe body(&value)
    }
  }
}
