import CXXHash

/// Appends fixed-width little-endian integers to a byte array, the encoding of records.
extension [UInt8] {
  mutating func append<Value: FixedWidthInteger>(_ value: Value) {
    var rest = value
    for _ in 0..<(Value.bitWidth / 8) {
      append(UInt8(truncatingIfNeeded: rest))
      rest >>= 8
    }
  }

  /// Ends a record with the XXH3 of all bytes before.
  ///
  /// - Parameter seed: Identifies the key that the record belongs to, so that a record stored under
  ///   another key is detected as well.
  mutating func appendChecksum(seed: UInt64) {
    append(checksum(rawSpan, seed: seed))
  }
}

extension Array where Element: BitwiseCopyable {
  /// The elements' bytes.
  // SAFETY: used for token ids and bytes, which have no padding that could be uninitialised.
  package var rawSpan: RawSpan {
    @_lifetime(borrow self) get { unsafe span.bytes }
  }
}

/// The 64-bit XXH3 of some bytes. It protects against damage, not against forgery.
package func checksum(_ bytes: RawSpan, seed: UInt64 = 0) -> UInt64 {
  // SAFETY: the pointer and length are those of one span, and the function only reads.
  unsafe bytes.withUnsafeBytes { unsafe XXH3_64bits_withSeed($0.baseAddress, $0.count, seed) }
}

/// The seed of records whose key is a text.
package func checksumSeed(_ key: String) -> UInt64 {
  checksum([UInt8](key.utf8).rawSpan)
}

extension Span<Int32> {
  /// The bytes of the tokens.
  // SAFETY: integers have no padding.
  package var tokenBytes: RawSpan {
    @_lifetime(copy self) get { unsafe bytes }
  }

  /// The XXH3 of the tokens that follow the lead-in. It distinguishes a repeated insert of an id from a
  /// conflict: an id names an output, whatever prompt was given with it.
  package func outputDigest(after leadInTokens: Int) -> UInt64 {
    checksum(extracting(leadInTokens..<count).tokenBytes)
  }
}

/// Reads a record from its first byte to its last. Every read returns nil if the bytes are missing.
struct RecordReader: ~Escapable {
  private let bytes: RawSpan
  private(set) var position = 0

  @_lifetime(copy bytes)
  init(_ bytes: RawSpan) {
    self.bytes = bytes
  }

  /// A reader of the bytes before the checksum at the end, or nil if the checksum is wrong.
  @_lifetime(copy bytes)
  init?(checked bytes: RawSpan, seed: UInt64) {
    guard bytes.byteCount >= 8 else { return nil }
    let content = bytes.extracting(0..<(bytes.byteCount - 8))
    var end = RecordReader(bytes.extracting((bytes.byteCount - 8)..<bytes.byteCount))
    guard end.read(UInt64.self) == checksum(content, seed: seed) else { return nil }
    self.bytes = content
  }

  var bytesLeft: Int { bytes.byteCount - position }

  @_lifetime(self: copy self)
  mutating func read<Value: FixedWidthInteger & BitwiseCopyable>(_: Value.Type) -> Value? {
    guard bytesLeft >= MemoryLayout<Value>.size else { return nil }
    // SAFETY: the bounds were checked, and any bytes are a valid integer.
    let value = unsafe bytes.unsafeLoadUnaligned(fromByteOffset: position, as: Value.self)
    position += MemoryLayout<Value>.size
    return Value(littleEndian: value)
  }

  /// The result of `body` on the next bytes, or nil if they are missing.
  @_lifetime(self: copy self)
  mutating func read<Value>(bytes count: Int, _ body: (RawSpan) -> Value?) -> Value? {
    guard count >= 0, bytesLeft >= count else { return nil }
    position += count
    return body(bytes.extracting((position - count)..<position))
  }

  @_lifetime(self: copy self)
  mutating func readString(bytes count: Int) -> String? {
    guard count >= 0, bytesLeft >= count else { return nil }
    let part = bytes.extracting(position..<(position + count))
    position += count
    // SAFETY: the buffer is used within the closure only.
    return unsafe part.withUnsafeBytes { unsafe String(validating: $0, as: UTF8.self) }
  }
}

extension RawSpan {
  /// A copy of the bytes.
  package var bytes: [UInt8] { unsafe withUnsafeBytes { unsafe [UInt8]($0) } }
}
