/// The bytes of a sealed index, cut into chunks that may lie anywhere in memory.
///
/// A database hands out large values best in runs of one fixed size, so an index is stored as
/// chunks and used where they lie: a position in the image is (chunk, offset), one table look-up
/// away. The table of a 100-million-token index is 10 KiB and stays in the first-level cache.
///
/// The image is cut every `chunkBytes`. Each chunk but the last holds `overlapBytes` more: the
/// first ones of the next chunk, once more, so that a record which begins in a chunk can be read to
/// its end there. Integers are little-endian.
@safe
public struct SealedImage {
  /// How far apart chunks begin in the image: 1 MiB.
  static let chunkBytes = 1 << chunkShift
  static let chunkShift = 20
  /// At least a record and the word that its last field is read with. A database page more is taken
  /// by a chunk's header anyway, so the overlap costs nothing.
  static let overlapBytes = 32

  /// Base addresses of the chunks, in order.
  // SAFETY: whoever made the image keeps the table and the chunks alive and unchanged.
  let chunks: UnsafePointer<UnsafeRawPointer>

  /// Bytes in the image, overlaps not counted twice.
  public let byteCount: Int

  /// - Parameters:
  ///   - chunks: Base addresses of the chunks, each aligned to 8 bytes.
  ///   - byteCount: Bytes in the image.
  // SAFETY (for callers): there are `chunkCount(byteCount)` chunks of `byteCount(ofChunk:)` bytes
  // each, and the table and they stay as they are while the image is used.
  @unsafe
  public init(chunks: UnsafePointer<UnsafeRawPointer>, byteCount: Int) {
    unsafe self.chunks = chunks
    self.byteCount = byteCount
  }

  /// How many chunks an image of so many bytes is cut into.
  public static func chunkCount(_ byteCount: Int) -> Int {
    (byteCount + chunkBytes - 1) >> chunkShift
  }

  /// Bytes of one chunk of an image of `byteCount` bytes, its overlap included.
  public static func byteCount(ofChunk chunk: Int, of byteCount: Int) -> Int {
    min(chunkBytes + overlapBytes, byteCount - chunk << chunkShift)
  }

  /// Equal records of any number of bits, one after the other.
  struct Run {
    /// Where it begins in the image.
    let offset: Int
    let count: Int
    /// Bits of one record.
    let bits: Int

    var end: Int { offset + (count * bits + 7) / 8 }

    @inline(__always)
    func holds(_ index: Int) -> Bool { UInt(bitPattern: index) < UInt(bitPattern: count) }
  }

  /// Where a number stands in a record: at most 32 bits.
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

  /// A record where it lies.
  @safe
  struct Record {
    // SAFETY: points into a chunk, with `overlapBytes` of it behind the record's first byte.
    fileprivate let base: UnsafeRawPointer
    fileprivate let bit: Int

    @inline(__always)
    func load(_ field: Field) -> UInt32 {
      let bit = bit &+ field.shift
      // SAFETY: a record has at most 8 × (overlapBytes − 8) bits (`SealedLayout` sees to it).
      let word = unsafe base.loadUnaligned(fromByteOffset: bit &>> 3, as: UInt64.self)
      return UInt32(truncatingIfNeeded: (word &>> UInt64(bit & 7)) & field.mask)
    }
  }

  /// Finds a record of a run that lies inside the image.
  ///
  /// - Precondition: The run holds the index, or the index is 0. An empty run has room for what is
  ///   read at 0 as well, because `overlapBytes` follow the last run.
  @inline(__always)
  func record(_ run: Run, _ index: Int) -> Record {
    assert(index == 0 || run.holds(index), "an index outside its run")
    let bit = index &* run.bits
    let position = run.offset &+ (bit &>> 3)
    // SAFETY: `SealedIndex.init` verified that the run ends `overlapBytes` before the image.
    let chunk = unsafe chunks[position &>> Self.chunkShift]
    return unsafe Record(base: chunk + position & (Self.chunkBytes &- 1), bit: bit & 7)
  }

  /// Finds a record, wherever the index comes from: from the image itself, which came from disk.
  /// For an index outside the run it finds the first record, and sets the mark.
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
    // SAFETY: the chunk was checked, and has so many bytes.
    let span = unsafe RawSpan(
      _unsafeStart: chunks[chunk], byteCount: Self.byteCount(ofChunk: chunk, of: byteCount))
    return unsafe _overrideLifetime(span, borrowing: self)
  }

  /// The first bytes of the image.
  func loadHeader<Header: BitwiseCopyable>(_: Header.Type) -> Header? {
    if byteCount < MemoryLayout<Header>.size { return nil }
    // SAFETY: the first chunk has at least so many bytes.
    return unsafe chunks[0].load(as: Header.self)
  }
}
