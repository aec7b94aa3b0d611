import COpenSSL

/// The SHA-256 of an access token, which is all that is stored of it.
public struct TokenDigest: Hashable, Sendable {
  private static let byteCount = 32
  private let bytes: [UInt8]

  public init(token: String) {
    var digest = [UInt8](repeating: 0, count: Self.byteCount)
    let text = [UInt8](token.utf8)
    // SAFETY: SHA256 reads `text.count` bytes and writes 32.
    _ = unsafe SHA256(text, text.count, &digest)
    bytes = digest
  }

  /// Reads 64 hexadecimal digits; returns nil for any other text.
  public init?(hexadecimal text: String) {
    let digits = text.utf8.compactMap { Character(Unicode.Scalar($0)).hexDigitValue }
    guard text.utf8.count == 2 * Self.byteCount, digits.count == text.utf8.count else { return nil }
    bytes = stride(from: 0, to: digits.count, by: 2).map { UInt8(digits[$0] << 4 | digits[$0 + 1]) }
  }

  /// The digest as 64 hexadecimal digits.
  public var hexadecimal: String {
    let digits = Array("0123456789abcdef")
    return bytes.reduce(into: "") { text, byte in
      text.append(digits[Int(byte >> 4)])
      text.append(digits[Int(byte & 15)])
    }
  }

  /// Compares in constant time, so that the time does not reveal where two digests differ.
  public static func == (first: TokenDigest, second: TokenDigest) -> Bool {
    // SAFETY: both have 32 bytes.
    unsafe CRYPTO_memcmp(first.bytes, second.bytes, byteCount) == 0
  }

  /// A new token: `rp_` and 256 random bits.
  public static func newToken() -> String {
    var random = [UInt8](repeating: 0, count: byteCount)
    // SAFETY: RAND_bytes writes 32 bytes; it returns 1 unless the system cannot supply randomness.
    precondition(unsafe RAND_bytes(&random, Int32(byteCount)) == 1, "no random bytes")
    return "rp_" + TokenDigest(bytes: random).hexadecimal
  }

  private init(bytes: [UInt8]) { self.bytes = bytes }
}
