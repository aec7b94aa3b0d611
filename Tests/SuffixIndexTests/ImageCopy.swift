import SuffixIndex
import TestSupport

/// A copy of an image's bytes, for damaging. Each chunk has memory of its own and no more than it
/// needs, so that address sanitizer detects a read beyond its end.
@safe
final class ImageCopy {
  let byteCount: Int
  // SAFETY: both are allocated in `init` and freed in `deinit`.
  private let chunks: [UnsafeMutableRawBufferPointer]
  private let table: UnsafeMutablePointer<UnsafeRawPointer>

  init(_ buffer: SealedImageBuffer) {
    byteCount = buffer.byteCount
    var chunks: [UnsafeMutableRawBufferPointer] = unsafe []
    for chunk in 0..<buffer.chunkCount {
      let count = buffer.withChunk(chunk) { $0.byteCount }
      let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 16)
      buffer.withChunk(chunk) { span in
        unsafe span.withUnsafeBytes { unsafe copy.copyMemory(from: $0) }
      }
      unsafe chunks.append(copy)
    }
    unsafe self.chunks = chunks
    unsafe table = .allocate(capacity: buffer.chunkCount)
    for chunk in unsafe chunks.indices {
      unsafe (table + chunk).initialize(to: UnsafeRawPointer(chunks[chunk].baseAddress!))
    }
  }

  deinit {
    for chunk in unsafe chunks.indices { unsafe chunks[chunk].deallocate() }
    unsafe table.deallocate()
  }

  /// The image; valid as long as the copy lives.
  var image: SealedImage { unsafe SealedImage(chunks: table, byteCount: byteCount) }

  func byteCount(ofChunk chunk: Int) -> Int { unsafe chunks[chunk].count }

  subscript(byte: Int, chunk chunk: Int = 0) -> UInt8 {
    get { unsafe chunks[chunk][byte] }
    set { unsafe chunks[chunk][byte] = newValue }
  }

  /// A bit of the first chunk.
  subscript(bit bit: Int) -> Bool {
    get { self[bit / 8] >> UInt8(bit % 8) & 1 == 1 }
    set {
      let mask: UInt8 = 1 << UInt8(bit % 8)
      self[bit / 8] = newValue ? self[bit / 8] | mask : self[bit / 8] & ~mask
    }
  }

  /// A u32 of the header.
  subscript(word offset: Int) -> UInt32 {
    get { unsafe chunks[0].loadUnaligned(fromByteOffset: offset, as: UInt32.self) }
    set { unsafe chunks[0].storeBytes(of: newValue, toByteOffset: offset, as: UInt32.self) }
  }
}

/// Histories whose images have each kind of record.
enum ImageShape: CaseIterable {
  case oneToken, twoTokens, random, pages, wide, crowded, tiny, empty

  var depth: Int {
    switch self {
    case .oneToken: 6
    case .pages: 12
    case .crowded: 3
    default: 5
    }
  }

  var sequences: [[Int32]] {
    var generator = SeededGenerator(seed: 99)
    switch self {
    case .oneToken:
      return [[Int32](repeating: 3, count: 40), [3], []]
    case .twoTokens:
      return (0..<3).map { _ in (0..<20).map { _ in Int32.random(in: 0...1, using: &generator) } }
    case .random:
      return (0..<4).map { _ in generator.tokens(count: 18, alphabet: 6) }
    case .pages:
      let page = (0..<15).map { _ in Int32.random(in: 0..<90_000, using: &generator) }
      return [page + page, page, [7] + page.dropLast(4)]
    case .wide:
      // Nodes of more than eight children, of both kinds; few counts are large.
      return [
        (0..<60).flatMap { [5, Int32($0 % 40)] }, (0..<24).flatMap { [9, 8, Int32($0 * 31)] },
      ]
    case .crowded:
      return [(0..<120).map { _ in Int32.random(in: 0..<11, using: &generator) }]
    case .tiny:
      return [[Int32.max - 1], [1, 1]]
    case .empty:
      return []
    }
  }

  func build() -> SealedImageBuffer {
    var builder = SealedIndexBuilder(depth: depth)
    for sequence in sequences { builder.append(sequence.span) }
    return builder.build()
  }
}

extension SealedIndex {
  /// All sequences that the image holds now.
  var sequences: [[Int32]] {
    var all: [[Int32]] = []
    forEachSequence { _, tokens in all.append(tokens.indices.map { tokens[$0] }) }
    return all
  }
}
