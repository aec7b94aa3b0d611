import Concurrency
import LMDB
import RepriseModel
import StoreErrors

/// The chunks of a segment in the file, intact or damaged.
package struct SegmentChunks {
  package let number: UInt64
  package let record: SegmentRecord
  package let file: CorpusFile

  package init(_ number: UInt64, _ record: SegmentRecord, _ file: CorpusFile) {
    self.number = number
    self.record = record
    self.file = file
  }

  package var place: String { "segment \(number) of \(file.path)" }
  package var count: Int { record.checksums.count }

  /// True if a chunk matches its checksum.
  package func isWhole(
    _ chunk: Int, _ transaction: borrowing ReadTransaction
  ) throws(StoreError) -> Bool {
    let key = CorpusFile.chunkKey(segment: number, chunk: chunk)
    do throws(LMDBError) {
      guard let bytes = try transaction.get(key, in: file.chunks),
        bytes.byteCount == record.byteCount(ofChunk: chunk)
      else { return false }
      return checksum(bytes) == record.checksums[chunk]
    } catch {
      throw file.error(error)
    }
  }

  /// The numbers of the damaged chunks.
  ///
  /// - Throws: `cancelled` when the file's cancellation is.
  /// - Complexity: Reads the whole segment, at 5 to 10 GB a second where it is in memory.
  package func damaged(_ transaction: borrowing ReadTransaction) throws(StoreError) -> [Int] {
    var damaged: [Int] = []
    for chunk in 0..<count {
      try file.cancellation.check()
      if try !isWhole(chunk, transaction) { damaged.append(chunk) }
    }
    return damaged
  }

  /// Reads the sequence table.
  ///
  /// - Throws: `corrupt`, naming the chunk that is damaged.
  package func sequenceTable(
    _ transaction: borrowing ReadTransaction
  ) throws(StoreError) -> [SequenceTable.Entry] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(
      min(record.tableBytes, record.tableChunks * SegmentRecord.tableChunkBytes))
    for chunk in record.imageChunks..<count {
      try file.cancellation.check()
      guard try isWhole(chunk, transaction) else {
        throw .corrupt(what: "chunk \(chunk)", where: place)
      }
      do throws(LMDBError) {
        let key = CorpusFile.chunkKey(segment: number, chunk: chunk)
        guard let span = try transaction.get(key, in: file.chunks) else { throw .damaged }
        unsafe span.withUnsafeBytes { unsafe bytes.append(contentsOf: $0) }
      } catch {
        throw file.error(error)
      }
    }
    guard let entries = SequenceTable.entries(bytes, count: record.size.sequences) else {
      throw .corrupt(what: "the sequence table", where: place)
    }
    return entries
  }

  /// Deletes all chunks.
  package func delete(_ transaction: borrowing WriteTransaction) throws(LMDBError) {
    for chunk in 0..<count {
      try transaction.delete(CorpusFile.chunkKey(segment: number, chunk: chunk), in: file.chunks)
    }
  }
}
