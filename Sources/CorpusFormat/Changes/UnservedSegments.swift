import Concurrency
import LMDB
import StoreErrors

/// Segments that are written to a file while it is opened and no call is answered from it yet.
///
/// Chunks come first, a few in each transaction; after a crash they have no record and are removed
/// at the next open. The records and all else are one transaction at the end.
package struct UnservedSegments {
  private let file: CorpusFile
  private let nextOrder: UInt64
  private var next: UInt64
  private var new: [(number: UInt64, record: SegmentRecord)] = []

  package init(_ file: CorpusFile) throws(StoreError) {
    self.file = file
    let reading = try file.beginReading()
    nextOrder = try file.state(reading).nextOrder
    next = try file.nextSegmentNumber(reading)
  }

  /// Writes the chunks of a segment.
  ///
  /// - Throws: `cancelled` before one of its transactions, or the error of writing.
  package mutating func add(_ segment: EncodedSegment) throws(StoreError) {
    let number = next
    next += 1
    for chunks in segment.batches {
      try file.cancellation.check()
      try file.write(nextOrder: nextOrder) { (transaction) throws(LMDBError) in
        try segment.write(chunks, of: number, transaction, file)
      }
    }
    new.append((number, segment.record))
  }

  /// Writes the records, together with the changes of `body`.
  package func finish(
    _ change: (borrowing WriteTransaction) throws(LMDBError) -> Void
  ) throws(StoreError) {
    try file.write(nextOrder: nextOrder) { (transaction) throws(LMDBError) in
      for segment in new {
        let record = segment.record.encoded(segment: segment.number)
        try transaction.put(Key(segment.number), record.rawSpan, in: file.segments)
      }
      try change(transaction)
    }
  }
}
