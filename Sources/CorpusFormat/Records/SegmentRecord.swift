import RepriseModel
import SuffixIndex

/// The description of a segment, beside its bytes in the file.
///
///     0   u64  tokens
///     8   u64  tokens of lead-ins
///     16  u64  sequences
///     24  u64  bytes of the index image
///     32  u64  bytes of the sequence table
///     40  u64  smallest order number
///     48  u64  largest order number
///     56  u64  earliest commit of a sequence, seconds since 1970
///     64  u64  latest commit
///     72  u64  bits of a token in the image, by which its text can be read without its header
///     80  u64  XXH3 of each chunk of the image, then of each chunk of the table
///     …   u64  XXH3 of all before, with the segment's number as seed
package struct SegmentRecord: Equatable {
  package var size: HistorySize
  package var imageBytes: Int
  package var tableBytes: Int
  package var orders: ClosedRange<UInt64>
  package var seconds: ClosedRange<UInt64>
  package var tokenBits: Int
  package var checksums: [UInt64]

  /// The size of each chunk of the table but the last: the size of an image's chunk, so that the
  /// database stores all chunks as runs of one length.
  package static let tableChunkBytes = SealedImage.byteCount(ofChunk: 0, of: .max)

  package var imageChunks: Int { SealedImage.chunkCount(imageBytes) }
  package var tableChunks: Int { (tableBytes + Self.tableChunkBytes - 1) / Self.tableChunkBytes }

  /// The size of a chunk in bytes: the image's chunks come first, then the table's.
  package func byteCount(ofChunk chunk: Int) -> Int {
    chunk < imageChunks
      ? SealedImage.byteCount(ofChunk: chunk, of: imageBytes)
      : min(Self.tableChunkBytes, tableBytes - (chunk - imageChunks) * Self.tableChunkBytes)
  }

  /// The number of tokens and separators in the image's text.
  package var textTokens: Int { size.tokens + size.sequences }

  package func encoded(segment: UInt64) -> [UInt8] {
    var bytes: [UInt8] = []
    for value in [size.tokens, size.leadInTokens, size.sequences, imageBytes, tableBytes] {
      bytes.append(UInt64(value))
    }
    bytes.append(orders.lowerBound)
    bytes.append(orders.upperBound)
    bytes.append(seconds.lowerBound)
    bytes.append(seconds.upperBound)
    bytes.append(UInt64(tokenBits))
    for checksum in checksums { bytes.append(checksum) }
    bytes.appendChecksum(seed: segment)
    return bytes
  }

  package init(
    size: HistorySize, imageBytes: Int, tableBytes: Int, orders: ClosedRange<UInt64>,
    seconds: ClosedRange<UInt64>, tokenBits: Int, checksums: [UInt64]
  ) {
    self.size = size
    self.imageBytes = imageBytes
    self.tableBytes = tableBytes
    self.orders = orders
    self.seconds = seconds
    self.tokenBits = tokenBits
    self.checksums = checksums
  }

  /// Returns nil if the bytes are damaged, or belong to another segment.
  package init?(_ bytes: RawSpan, segment: UInt64) {
    guard var reader = RecordReader(checked: bytes, seed: segment),
      let tokens = reader.read(UInt64.self), let leadIns = reader.read(UInt64.self),
      let sequences = reader.read(UInt64.self),
      let imageBytes = reader.read(UInt64.self), let tableBytes = reader.read(UInt64.self),
      let first = reader.read(UInt64.self), let last = reader.read(UInt64.self), first <= last,
      let oldest = reader.read(UInt64.self), let newest = reader.read(UInt64.self),
      oldest <= newest, let tokenBits = reader.read(UInt64.self), (1...32).contains(tokenBits),
      // A sequence has at least a token besides its lead-in, a segment at least a sequence.
      sequences > 0, leadIns <= tokens, sequences <= tokens - leadIns,
      [tokens, sequences, imageBytes, tableBytes].allSatisfy({ $0 < 1 << 48 })
    else { return nil }
    self.init(
      size: HistorySize(
        tokens: Int(tokens), leadInTokens: Int(leadIns), sequences: Int(sequences)),
      imageBytes: Int(imageBytes), tableBytes: Int(tableBytes), orders: first...last,
      seconds: oldest...newest, tokenBits: Int(tokenBits), checksums: [])
    while let checksum = reader.read(UInt64.self) { checksums.append(checksum) }
    guard checksums.count == imageChunks + tableChunks else { return nil }
  }
}
