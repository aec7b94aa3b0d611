import SuffixIndex

/// Gathers finished sequences, and builds a segment of them.
struct SegmentBuilder: ~Copyable {
  private var index: SealedIndexBuilder
  private var table = SequenceTable()

  /// - Parameters:
  ///   - expected: Room that is set aside.
  ///   - tableBytes: Room for what is known of the sequences beside their tokens.
  init(depth: Int, expected: HistorySize, tableBytes: Int = 0) {
    index = SealedIndexBuilder(
      depth: depth, tokensExpected: expected.tokens + expected.sequences)
    table.reserveCapacity(tableBytes)
  }

  var isEmpty: Bool { table.count == 0 }
  var size: HistorySize { HistorySize(tokens: table.tokens, sequences: table.count) }
  /// Bytes of what was appended.
  var bytes: Int { 4 * (table.tokens + table.count) + table.bytes.count }

  mutating func append(_ tokens: Span<Int32>, _ entry: SequenceTable.Entry) {
    index.append(tokens)
    table.append(entry)
  }

  /// Memory that building takes for each token of real output, the text among it.
  static let bytesPerToken = 32

  /// Memory that building takes, the table of sequences not counted, and what is small.
  static func peakBytes(textTokens: Int, nodes: Int, imageBytes: Int) -> Int {
    SealedIndexBuilder.peakBytes(textTokens: textTokens, nodes: nodes, imageBytes: imageBytes)
      + 2 << 20
  }

  /// - Precondition: There is a sequence.
  /// - Parameters:
  ///   - reservation: Is kept up to date, and made larger where the text turns out to need more.
  ///   - isCancelled: Is asked every few milliseconds.
  /// - Throws: `cancelled`; `memoryShort` where more is needed and not there.
  consuming func build(
    _ reservation: MemoryBudget.Reservation, isCancelled: @escaping () -> Bool
  ) throws(StoreError) -> BuiltSegment {
    let table = table
    let tableBytes = table.bytes.count
    var lacking = 0
    do throws(SealedIndexBuilder.Cancelled) {
      let image = try index.build(isCancelled: isCancelled) { memory in
        let peak = memory.peak + tableBytes
        // What was begun may use the room that is kept for others, but not more than there is.
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
  // @unchecked Sendable: a finished image is only read.
  private let image: SealedImageBuffer
  private let table: [UInt8]
  /// For as long as the image is in memory.
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
