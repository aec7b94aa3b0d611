import LMDB
import RepriseModel
import StoreErrors
import SuffixIndex

/// A sealed index in the corpus's file.
///
/// Its bytes are readable only while a `SegmentView` that lists it is alive.
package final class Segment {
  package let number: UInt64
  package let record: SegmentRecord
  package let index: SealedIndex
  private let addresses: ChunkAddresses

  /// Finds the chunks of a segment. Reads at most one page of each.
  ///
  /// - Parameter mark: Set when the index is found damaged during reading.
  package init(
    _ number: UInt64, _ record: SegmentRecord, in file: CorpusFile,
    _ transaction: borrowing ReadTransaction, mark: DamageMark
  ) throws(StoreError) {
    let chunks = SegmentChunks(number, record, file)
    guard let addresses = try ChunkAddresses(chunks, in: file, transaction) else {
      throw .corrupt(what: "a chunk", where: chunks.place)
    }
    do throws(SealedIndex.FormatError) {
      index = try SealedIndex(addresses.image, mark: mark)
    } catch {
      throw .corrupt(what: error.description, where: chunks.place)
    }
    guard index.tokenCount == record.size.tokens, index.sequenceCount == record.size.sequences,
      index.tokenBits == record.tokenBits, index.depth == file.settings.depth
    else { throw .corrupt(what: "the header of the index", where: chunks.place) }
    self.addresses = addresses
    self.number = number
    self.record = record
  }

  package var size: HistorySize { record.size }

  /// The sequences of its text.
  package var text: SealedText? { addresses.text }

  /// The entries of its sequences, which hold everything except the tokens.
  ///
  /// - Throws: `corrupt` if the table is damaged.
  package func sequenceTable(
    _ file: CorpusFile, _ transaction: borrowing ReadTransaction
  ) throws(StoreError) -> [SequenceTable.Entry] {
    try SegmentChunks(number, record, file).sequenceTable(transaction)
  }
}

extension CorpusFile {
  /// A segment in the map.
  ///
  /// - Parameter mark: Set when the index is found damaged during reading.
  package func segment(
    _ number: UInt64, _ transaction: borrowing ReadTransaction, mark: DamageMark
  ) throws(StoreError) -> Segment {
    guard let record = try segmentRecord(number, transaction) else {
      throw .corrupt(what: "the record of segment \(number)", where: path)
    }
    return try Segment(number, record, in: self, transaction, mark: mark)
  }
}
