/// The bytes of a sealed index, cut into chunks of one size that may lie anywhere in memory.
///
/// A database hands out large values best in runs of one fixed size, so an index is stored as
/// chunks and used where they lie: a position in the image is (chunk, offset), one table look-up
/// away. The table of a 100-million-token index is 16 KiB and stays in the first-level cache.
///
/// Chunks are `chunkBytes` long except the last. Every element of every array is aligned to its
/// size, so none lies across two chunks. Integers are little-endian.
@safe
public struct SealedImage {
  /// Bytes of every chunk but the last: 1 MiB.
  public static let chunkBytes = 1 << chunkShift
  static let chunkShift = 20

  /// Base addresses of the chunks, in order.
  // SAFETY: whoever made the image keeps the table and the chunks alive and unchanged.
  let chunks: UnsafePointer<UnsafeRawPointer>

  /// Bytes in all chunks together.
  public let byteCount: Int

  /// - Parameters:
  ///   - chunks: Base addresses of ⌈byteCount / chunkBytes⌉ chunks, each aligned to 16 bytes.
  ///   - byteCount: Bytes in all.
  // SAFETY (for callers): the table and the chunks must stay as they are while the image is used.
  @unsafe
  public init(chunks: UnsafePointer<UnsafeRawPointer>, byteCount: Int) {
    unsafe self.chunks = chunks
    self.byteCount = byteCount
  }

  /// A run of equal elements inside the image.
  struct Run<Element: BitwiseCopyable> {
    let offset: Int
    let count: Int

    var end: Int { offset + count * MemoryLayout<Element>.stride }
  }

  /// Reads one element.
  ///
  /// The index is checked in release builds too: it may come from the image itself, which came
  /// from disk, and a damaged image must not make the process read where it should not.
  @inline(__always)
  func load<Element: BitwiseCopyable>(_ array: Run<Element>, _ index: Int) -> Element {
    precondition(UInt(bitPattern: index) < UInt(bitPattern: array.count), "damaged sealed index")
    let position = array.offset &+ index &* MemoryLayout<Element>.stride
    let chunk = unsafe chunks[position &>> Self.chunkShift]
    // SAFETY: `SealedIndex.init` verified that the array ends inside the image.
    return unsafe chunk.load(
      fromByteOffset: position & (Self.chunkBytes &- 1), as: Element.self)
  }
}

/// A sealed image in memory of its own: what a builder fills, chunk by chunk.
@safe
public final class SealedImageBuffer {
  // SAFETY: both tables are allocated in `init` and freed in `deinit`; chunks never move.
  private let table: UnsafeMutablePointer<UnsafeRawPointer>
  private let mutableChunks: [UnsafeMutableRawPointer]
  public let byteCount: Int

  public init(byteCount: Int) {
    self.byteCount = byteCount
    let count = (byteCount + SealedImage.chunkBytes - 1) >> SealedImage.chunkShift
    unsafe table = .allocate(capacity: max(count, 1))
    unsafe mutableChunks = (0..<count).map { chunk in
      let bytes = min(SealedImage.chunkBytes, byteCount - chunk << SealedImage.chunkShift)
      let memory = UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: 16)
      unsafe memory.initializeMemory(as: UInt8.self, repeating: 0, count: bytes)
      return unsafe memory
    }
    for chunk in 0..<count {
      unsafe (table + chunk).initialize(to: UnsafeRawPointer(mutableChunks[chunk]))
    }
  }

  deinit {
    for chunk in unsafe mutableChunks.indices { unsafe mutableChunks[chunk].deallocate() }
    unsafe table.deallocate()
  }

  /// The image, for as long as the buffer lives.
  public var image: SealedImage {
    unsafe SealedImage(chunks: table, byteCount: byteCount)
  }

  public var chunkCount: Int { unsafe mutableChunks.count }

  /// The bytes of one chunk.
  public func withChunk<Result, Failure: Error>(
    _ chunk: Int, _ body: (RawSpan) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    let bytes = min(SealedImage.chunkBytes, byteCount - chunk << SealedImage.chunkShift)
    return try unsafe body(
      RawSpan(_unsafeStart: UnsafeRawPointer(mutableChunks[chunk]), byteCount: bytes))
  }

  @inline(__always)
  func store<Element: BitwiseCopyable>(
    _ value: Element, _ array: SealedImage.Run<Element>, _ index: Int
  ) {
    precondition(UInt(bitPattern: index) < UInt(bitPattern: array.count))
    let position = array.offset &+ index &* MemoryLayout<Element>.stride
    // SAFETY: the index was checked, and layouts end inside the image that they were made for.
    unsafe mutableChunks[position &>> SealedImage.chunkShift].storeBytes(
      of: value, toByteOffset: position & (SealedImage.chunkBytes &- 1), as: Element.self)
  }
}
