import SuffixIndex

/// What the file says of a segment beside its bytes.
///
///     0   u64  tokens
///     8   u64  sequences
///     16  u64  bytes of the index image
///     24  u64  bytes of the sequence table
///     32  u64  smallest order number
///     40  u64  largest order number
///     48  u64  XXH3 of each chunk of the image, then of each chunk of the table
///     …   u64  XXH3 of all before
struct SegmentRecord: Equatable {
  var tokens: Int
  var sequences: Int
  var imageBytes: Int
  var tableBytes: Int
  var orders: ClosedRange<UInt64>
  var checksums: [UInt64]

  /// Bytes of each chunk of the table but the last: as many as an image's chunk, so that all are
  /// runs of one length to the database.
  static let tableChunkBytes = SealedImage.byteCount(ofChunk: 0, of: .max)

  var imageChunks: Int { SealedImage.chunkCount(imageBytes) }
  var tableChunks: Int { (tableBytes + Self.tableChunkBytes - 1) / Self.tableChunkBytes }

  /// Bytes that chunk `chunk` has: the image's come first, then the table's.
  func byteCount(ofChunk chunk: Int) -> Int {
    chunk < imageChunks
      ? SealedImage.byteCount(ofChunk: chunk, of: imageBytes)
      : min(Self.tableChunkBytes, tableBytes - (chunk - imageChunks) * Self.tableChunkBytes)
  }

  func encoded() -> [UInt8] {
    var bytes: [UInt8] = []
    for value in [tokens, sequences, imageBytes, tableBytes] { bytes.append(UInt64(value)) }
    bytes.append(orders.lowerBound)
    bytes.append(orders.upperBound)
    for checksum in checksums { bytes.append(checksum) }
    bytes.appendChecksum()
    return bytes
  }

  init(
    tokens: Int, sequences: Int, imageBytes: Int, tableBytes: Int, orders: ClosedRange<UInt64>,
    checksums: [UInt64]
  ) {
    self.tokens = tokens
    self.sequences = sequences
    self.imageBytes = imageBytes
    self.tableBytes = tableBytes
    self.orders = orders
    self.checksums = checksums
  }

  /// nil where the bytes are damaged.
  init?(_ bytes: RawSpan) {
    guard var reader = RecordReader(checked: bytes),
      let tokens = reader.read(UInt64.self), let sequences = reader.read(UInt64.self),
      let imageBytes = reader.read(UInt64.self), let tableBytes = reader.read(UInt64.self),
      let first = reader.read(UInt64.self), let last = reader.read(UInt64.self), first <= last,
      [tokens, sequences, imageBytes, tableBytes].allSatisfy({ $0 < 1 << 48 })
    else { return nil }
    self.init(
      tokens: Int(tokens), sequences: Int(sequences), imageBytes: Int(imageBytes),
      tableBytes: Int(tableBytes), orders: first...last, checksums: [])
    while let checksum = reader.read(UInt64.self) { checksums.append(checksum) }
    guard checksums.count == imageChunks + tableChunks else { return nil }
  }
}
