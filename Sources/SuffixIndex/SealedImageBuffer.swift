/// A sealed image in memory of its own, which a builder fills.
@safe
public final class SealedImageBuffer {
  // SAFETY: both are allocated in `init` and freed in `deinit`.
  private let bytes: UnsafeMutableRawPointer
  private let table: UnsafeMutablePointer<UnsafeRawPointer>
  /// Bytes of the image.
  public let byteCount: Int
  /// The number of leading bytes that are zero or were stored. The rest was never touched, and
  /// therefore takes no memory yet.
  private var clearedBytes = 0

  /// Tokens in the text, the ends of sequences included. With `tokenBits` it is enough to read the
  /// text alone; see `SealedText`.
  public let textTokens: Int
  /// Bits of a token in the text.
  public let tokenBits: Int

  /// Stores the header; `clear` prepares the rest.
  init(_ header: SealedLayout.Header, byteCount: Int) {
    self.byteCount = byteCount
    textTokens = Int(header.textTokens)
    tokenBits = Int(header.tokenBits)
    unsafe bytes = .allocate(byteCount: byteCount, alignment: SealedLayout.pageBytes)
    let count = SealedImage.chunkCount(byteCount)
    unsafe table = .allocate(capacity: max(count, 1))
    for chunk in 0..<count {
      unsafe (table + chunk).initialize(
        to: UnsafeRawPointer(bytes + chunk << SealedImage.chunkShift))
    }
    unsafe bytes.initializeMemory(as: UInt8.self, repeating: 0, count: SealedLayout.headerBytes)
    clearedBytes = SealedLayout.headerBytes
    unsafe bytes.storeBytes(of: header, as: SealedLayout.Header.self)
  }

  /// Fills with zeros up to a place in the image, so that fields before it may be stored.
  func clear(
    upTo end: Int, _ meter: borrowing WorkMeter
  ) throws(SealedIndexBuilder.Cancelled) {
    while clearedBytes < end {
      try meter.check()
      let count = min(SealedImage.chunkBytes, end - clearedBytes)
      unsafe (bytes + clearedBytes).initializeMemory(as: UInt8.self, repeating: 0, count: count)
      clearedBytes += count
    }
  }

  /// Prepares a run, including the word in which its last field begins.
  func clear(
    _ run: SealedImage.Run, _ meter: borrowing WorkMeter
  ) throws(SealedIndexBuilder.Cancelled) {
    try clear(upTo: min(byteCount, run.end + MemoryLayout<UInt64>.size), meter)
  }

  /// Copies the bytes between the header and a place from another image.
  func copy(
    upTo end: Int, of other: SealedImageBuffer, _ meter: borrowing WorkMeter
  ) throws(SealedIndexBuilder.Cancelled) {
    precondition(clearedBytes <= end && end <= min(byteCount, other.clearedBytes))
    while clearedBytes < end {
      try meter.check()
      let count = min(SealedImage.chunkBytes, end - clearedBytes)
      unsafe (bytes + clearedBytes).copyMemory(from: other.bytes + clearedBytes, byteCount: count)
      clearedBytes += count
    }
  }

  deinit {
    unsafe bytes.deallocate()
    unsafe table.deallocate()
  }

  /// The image; valid as long as the buffer lives.
  public var image: SealedImage {
    unsafe SealedImage(chunks: table, byteCount: byteCount)
  }

  public var chunkCount: Int { SealedImage.chunkCount(byteCount) }

  /// The bytes of one chunk, its overlap included.
  public func withChunk<Result, Failure: Error>(
    _ chunk: Int, _ body: (RawSpan) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    let count = SealedImage.byteCount(ofChunk: chunk, of: byteCount)
    return try unsafe body(
      RawSpan(
        _unsafeStart: UnsafeRawPointer(bytes + chunk << SealedImage.chunkShift), byteCount: count))
  }

  /// Sets a field that is still zero.
  @inline(__always)
  func store(
    _ value: UInt32, _ run: SealedImage.Run, _ index: Int, _ field: SealedImage.Field
  ) {
    precondition(UInt(bitPattern: index) < UInt(bitPattern: run.count))
    assert(value <= field.max, "a value that does not fit its field")
    let bit = index &* run.bits &+ field.shift
    assert(run.offset + bit &>> 3 + 8 <= clearedBytes, "a run is cleared before it is stored")
    let place = unsafe bytes + run.offset + bit &>> 3
    // SAFETY: the index was checked, and a layout ends at least a word before its image.
    let word = unsafe place.loadUnaligned(as: UInt64.self) | UInt64(value) &<< UInt64(bit & 7)
    unsafe place.storeBytes(of: word, as: UInt64.self)
  }
}
