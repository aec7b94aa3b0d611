import SuffixIndex

/// Gathers finished sequences, and builds a segment of them.
struct SegmentBuilder {
  private var index: SealedIndexBuilder
  private var table = SequenceTable()

  /// - Parameter expected: Room that is set aside.
  init(depth: Int, expected: HistorySize) {
    index = SealedIndexBuilder(
      depth: depth, tokensExpected: expected.tokens + expected.sequences)
  }

  var isEmpty: Bool { table.count == 0 }
  var size: HistorySize { HistorySize(tokens: table.tokens, sequences: table.count) }

  mutating func append(_ tokens: Span<Int32>, _ entry: SequenceTable.Entry) {
    index.append(tokens)
    table.append(entry)
  }

  /// - Precondition: There is a sequence.
  /// - Parameter isCancelled: Is asked every few milliseconds.
  /// - Throws: `cancelled`.
  consuming func build(isCancelled: @escaping () -> Bool) throws(StoreError) -> BuiltSegment {
    let table = table
    do throws(SealedIndexBuilder.Cancelled) {
      return BuiltSegment(try index.build(isCancelled: isCancelled), table)
    } catch {
      throw .cancelled
    }
  }
}

/// A segment in memory, ready to be written.
struct BuiltSegment: @unchecked Sendable {
  // @unchecked Sendable: a finished image is only read.
  private let image: SealedImageBuffer
  private let table: [UInt8]
  let record: SegmentRecord

  fileprivate init(_ image: SealedImageBuffer, _ table: SequenceTable) {
    self.image = image
    self.table = table.bytes
    var record = SegmentRecord(
      tokens: table.tokens, sequences: table.count, imageBytes: image.byteCount,
      tableBytes: table.bytes.count, orders: table.orders, seconds: table.seconds,
      tokenBits: image.tokenBits, checksums: [])
    for chunk in 0..<record.imageChunks {
      record.checksums.append(image.withChunk(chunk) { checksum($0) })
    }
    for chunk in 0..<record.tableChunks {
      record.checksums.append(checksum(Self.tableChunk(table.bytes, chunk)))
    }
    self.record = record
  }

  /// Chunks of the image, then of the sequence table.
  var chunkCount: Int { record.checksums.count }

  func withChunk<Failure: Error>(
    _ chunk: Int, _ body: (RawSpan) throws(Failure) -> Void
  ) throws(Failure) {
    if chunk < record.imageChunks {
      try image.withChunk(chunk, body)
    } else {
      try body(Self.tableChunk(table, chunk - record.imageChunks))
    }
  }

  @_lifetime(borrow bytes)
  private static func tableChunk(_ bytes: borrowing [UInt8], _ chunk: Int) -> RawSpan {
    let start = chunk * SegmentRecord.tableChunkBytes
    return bytes.rawSpan.extracting(start..<min(start + SegmentRecord.tableChunkBytes, bytes.count))
  }
}
