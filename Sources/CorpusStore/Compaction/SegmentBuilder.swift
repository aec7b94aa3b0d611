import SuffixIndex

/// Collects finished sequences, and builds a segment from them.
struct SegmentBuilder: ~Copyable {
  private var index: SealedIndexBuilder
  private var table = SequenceTable()

  /// - Parameters:
  ///   - expected: The amount of history to reserve room for.
  ///   - tableBytes: Room for the entries of the sequence table, in bytes.
  init(depth: Int, expected: HistorySize, tableBytes: Int = 0) {
    index = SealedIndexBuilder(
      depth: depth, tokensExpected: expected.tokens + expected.sequences)
    table.reserveCapacity(tableBytes)
  }

  var isEmpty: Bool { table.count == 0 }
  var size: HistorySize { HistorySize(tokens: table.tokens, sequences: table.count) }
  /// The size of the appended sequences in bytes.
  var bytes: Int { 4 * (table.tokens + table.count) + table.bytes.count }

  mutating func append(_ tokens: Span<Int32>, _ entry: SequenceTable.Entry) {
    index.append(tokens)
    table.append(entry)
  }

  /// Memory of building for each token of real output, its text included.
  static let bytesPerToken = 32

  /// Memory of building, without the sequence table and small things.
  static func peakBytes(textTokens: Int, nodes: Int, imageBytes: Int) -> Int {
    SealedIndexBuilder.peakBytes(textTokens: textTokens, nodes: nodes, imageBytes: imageBytes)
      + 2 << 20
  }

  /// Builds the segment.
  ///
  /// - Precondition: At least one sequence was appended.
  /// - Parameters:
  ///   - reservation: Kept up to date, and enlarged if the text turns out to need more.
  ///   - isCancelled: Called every few milliseconds.
  /// - Throws: `cancelled`; `memoryShort` if more memory is needed than is available.
  consuming func build(
    _ reservation: MemoryBudget.Reservation, isCancelled: @escaping () -> Bool
  ) throws(StoreError) -> BuiltSegment {
    let table = table
    let tableBytes = table.bytes.count
    var lacking = 0
    do throws(SealedIndexBuilder.Cancelled) {
      let image = try index.build(isCancelled: isCancelled) { memory in
        let peak = memory.peak + tableBytes
        // A build that has begun may use the memory reserved for other kinds of work, but not more
        // than there is.
        if !reservation.resize(to: peak, isUrgent: true) {
          lacking = peak
          return false
        }
        reservation.update(taken: memory.taken + tableBytes)
        return true
      }
      return BuiltSegment(image, table, reservation)
    } catch {
      throw lacking > 0 ? .memoryShort(bytes: lacking) : .cancelled
    }
  }
}

/// A segment in memory, ready to be written.
struct BuiltSegment: @unchecked Sendable {
  // Unchecked: a finished image is only read.
  private let image: SealedImageBuffer
  private let table: [UInt8]
  /// Held for as long as the image is in memory.
  private let reservation: MemoryBudget.Reservation
  let record: SegmentRecord

  fileprivate init(
    _ image: SealedImageBuffer, _ table: SequenceTable, _ reservation: MemoryBudget.Reservation
  ) {
    self.image = image
    self.reservation = reservation
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

  /// The number of chunks of the image and of the sequence table.
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
