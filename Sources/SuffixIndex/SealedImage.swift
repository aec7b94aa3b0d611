/// The bytes of a sealed index, cut into chunks that may lie anywhere in memory.
///
/// A database hands out large values best in runs of one fixed size, so an index is stored as
/// chunks and used where they lie: a position in the image is (chunk, offset), one table look-up
/// away. The table of a 100-million-token index is 10 KiB and stays in the first-level cache.
///
/// The image is cut every `chunkBytes`. Each chunk but the last repeats the first `overlapBytes` of
/// the next chunk at its end, so that a record which begins in a chunk can be read there
/// completely. Integers are little-endian.
@safe
public struct SealedImage {
  /// The distance between the beginnings of chunks in the image: 1 MiB.
  static let chunkBytes = 1 << chunkShift
  static let chunkShift = 20
  /// At least the size of a record and of the word that its last field is read with. A chunk's
  /// header takes one more database page anyway, so the overlap costs nothing.
  static let overlapBytes = 32

  /// Base addresses of the chunks, in order.
  // SAFETY: the creator of the image keeps the table and the chunks alive and unchanged.
  let chunks: UnsafePointer<UnsafeRawPointer>

  /// Bytes in the image, overlaps counted once.
  public let byteCount: Int

  /// Creates an image over chunks that the caller keeps.
  ///
  /// - Parameters:
  ///   - chunks: Base addresses of the chunks, each aligned to 8 bytes.
  ///   - byteCount: Bytes in the image.
  // SAFETY (for callers): there are `chunkCount(byteCount)` chunks of `byteCount(ofChunk:)` bytes
  // each, and table and chunks stay unchanged while the image is used.
  @unsafe
  public init(chunks: UnsafePointer<UnsafeRawPointer>, byteCount: Int) {
    unsafe self.chunks = chunks
    self.byteCount = byteCount
  }

  /// The number of chunks of an image of `byteCount` bytes.
  public static func chunkCount(_ byteCount: Int) -> Int {
    (byteCount + chunkBytes - 1) >> chunkShift
  }

  /// Bytes of one chunk of an image of `byteCount` bytes, its overlap included.
  public static func byteCount(ofChunk chunk: Int, of byteCount: Int) -> Int {
    min(chunkBytes + overlapBytes, byteCount - chunk << chunkShift)
  }

  /// Equal records of any number of bits, stored without gaps.
  struct Run {
    /// Place of the first record in the image, in bytes.
    let offset: Int
    let count: Int
    /// Bits of one record.
    let bits: Int

    var end: Int { offset + (count * bits + 7) / 8 }

    @inline(__always)
    func holds(_ index: Int) -> Bool { UInt(bitPattern: index) < UInt(bitPattern: count) }
  }

  /// The place of a number in a record: at most 32 bits.
  struct Field {
    let shift: Int
    let mask: UInt64
    let bits: Int

    init(shift: Int, bits: Int) {
      self.shift = shift
      self.bits = bits
      mask = 1 << UInt64(bits) - 1
    }

    /// The largest value that the field holds.
    var max: UInt32 { UInt32(truncatingIfNeeded: mask) }
  }

  /// A record in the image, read without copying it.
  @safe
  struct Record {
    // SAFETY: points into a chunk that has `overlapBytes` behind the record's first byte.
    fileprivate let base: UnsafeRawPointer
    fileprivate let bit: Int

    @inline(__always)
    func load(_ field: Field) -> UInt32 {
      let bit = bit &+ field.shift
      // SAFETY: a record has at most 8 × (overlapBytes − 8) bits (`SealedLayout` ensures it).
      let word = unsafe base.loadUnaligned(fromByteOffset: bit &>> 3, as: UInt64.self)
      return UInt32(truncatingIfNeeded: (word &>> UInt64(bit & 7)) & field.mask)
    }
  }

  /// Finds a record of a run that lies inside the image.
  ///
  /// - Precondition: The run holds the index, or the index is 0. Reading index 0 of an empty run
  ///   stays inside the image, because `overlapBytes` follow the last run.
  @inline(__always)
  func record(_ run: Run, _ index: Int) -> Record {
    assert(index == 0 || run.holds(index), "an index outside its run")
    let bit = index &* run.bits
    let position = run.offset &+ (bit &>> 3)
    // SAFETY: `SealedIndex.init` verified that the run ends `overlapBytes` before the image.
    let chunk = unsafe chunks[position &>> Self.chunkShift]
    return unsafe Record(base: chunk + position & (Self.chunkBytes &- 1), bit: bit & 7)
  }

  /// Finds a record by an index that may come from the image itself, and therefore from disk. For
  /// an index outside the run it finds the first record, and sets the mark.
  @inline(__always)
  func record(_ run: Run, _ index: Int, _ mark: DamageMark.Reference) -> Record {
    if run.holds(index) { return record(run, index) }
    mark.set()
    return record(run, 0)
  }

  /// One byte of the image, for checks.
  ///
  /// - Precondition: `position` is in `0..<byteCount`.
  func byte(at position: Int) -> UInt8 {
    precondition(position >= 0 && position < byteCount, "a position outside the image")
    // SAFETY: the position was checked.
    return unsafe chunks[position >> Self.chunkShift].load(
      fromByteOffset: position & (Self.chunkBytes - 1), as: UInt8.self)
  }

  /// The bytes of one chunk, its overlap included.
  ///
  /// - Precondition: `chunk` is in `0..<chunkCount(byteCount)`.
  @_lifetime(borrow self)
  func bytes(ofChunk chunk: Int) -> RawSpan {
    precondition(chunk >= 0 && chunk < Self.chunkCount(byteCount), "a chunk outside the image")
    // SAFETY: the chunk was checked, and has this number of bytes.
    let span = unsafe RawSpan(
      _unsafeStart: chunks[chunk], byteCount: Self.byteCount(ofChunk: chunk, of: byteCount))
    return unsafe _overrideLifetime(span, borrowing: self)
  }

  /// The first bytes of the image.
  func loadHeader<Header: BitwiseCopyable>(_: Header.Type) -> Header? {
    if byteCount < MemoryLayout<Header>.size { return nil }
    // SAFETY: the first chunk has at least this number of bytes.
    return unsafe chunks[0].load(as: Header.self)
  }
}
