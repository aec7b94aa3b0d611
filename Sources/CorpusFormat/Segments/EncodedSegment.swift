import LMDB
import SuffixIndex

/// A segment in memory, as it is written to a file.
package struct EncodedSegment: @unchecked Sendable {
  // Unchecked: a finished image is only read.
  private let image: SealedImageBuffer
  private let table: [UInt8]
  package let record: SegmentRecord

  init(_ image: SealedImageBuffer, _ table: SequenceTable) {
    self.image = image
    self.table = table.bytes
    var record = SegmentRecord(
      size: table.size, imageBytes: image.byteCount,
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

  /// Chunks in one transaction: some 30 ms of writing.
  private static let chunksPerCommit = 4

  /// The numbers of the chunks, grouped by the transactions that write them.
  package var batches: [Range<Int>] {
    let count = record.checksums.count
    return stride(from: 0, to: count, by: Self.chunksPerCommit).map {
      $0..<min($0 + Self.chunksPerCommit, count)
    }
  }

  /// Writes some of the chunks.
  package func write(
    _ chunks: Range<Int>, of number: UInt64, _ transaction: borrowing WriteTransaction,
    _ file: CorpusFile
  ) throws(LMDBError) {
    for chunk in chunks {
      try withChunk(chunk) { (bytes) throws(LMDBError) in
        try transaction.put(
          CorpusFile.chunkKey(segment: number, chunk: chunk), bytes, in: file.chunks)
      }
    }
  }

  private func withChunk<Failure: Error>(
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
