import LMDB
import RepriseModel
import SuffixIndex

/// The addresses of the chunks of a segment's image in the map.
///
/// They are readable only while the transaction that found them is open, or a later one of the same
/// file: a chunk keeps its address as long as it is in the file, because LMDB never moves a value
/// that is not written again.
@safe
final class ChunkAddresses {
  // SAFETY: allocated in `init`, freed in `deinit`, never changed between.
  private let table: UnsafeMutablePointer<UnsafeRawPointer>
  private let record: SegmentRecord

  /// Finds the chunks.
  ///
  /// - Returns: nil if a chunk is missing or has the wrong size.
  init?(
    _ chunks: SegmentChunks, in file: CorpusFile, _ transaction: borrowing ReadTransaction
  ) throws(StoreError) {
    record = chunks.record
    unsafe table = .allocate(capacity: max(1, record.imageChunks))
    for chunk in 0..<record.imageChunks {
      let bytes: UnsafeRawBufferPointer?
      do throws(LMDBError) {
        let key = CorpusFile.chunkKey(segment: chunks.number, chunk: chunk)
        unsafe bytes = try transaction.unsafeGet(key, in: file.chunks)
      } catch {
        throw file.error(error)
      }
      guard let bytes = unsafe bytes, let base = bytes.baseAddress,
        bytes.count == record.byteCount(ofChunk: chunk), Int(bitPattern: base) % 8 == 0
      else { return nil }
      unsafe (table + chunk).initialize(to: base)
    }
  }

  deinit { unsafe table.deallocate() }

  /// The image; valid as long as these addresses and the transaction live.
  var image: SealedImage {
    unsafe SealedImage(chunks: table, byteCount: record.imageBytes)
  }

  /// The sequences, which can be read although the header may be damaged; nil if the record
  /// describes a text that does not fit the image.
  var text: SealedText? {
    try? SealedText(image, textTokens: record.textTokens, tokenBits: record.tokenBits)
  }
}

/// A sealed index in the corpus's file.
///
/// Its bytes are readable only while a `SegmentView` that lists it is alive.
final class Segment {
  let number: UInt64
  let record: SegmentRecord
  let index: SealedIndex
  private let addresses: ChunkAddresses

  /// Finds the chunks of a segment. Reads at most one page of each.
  ///
  /// - Parameter mark: Set when the index is found damaged during reading.
  init(
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
    guard index.tokenCount == record.tokens, index.sequenceCount == record.sequences,
      index.tokenBits == record.tokenBits, index.depth == file.settings.depth
    else { throw .corrupt(what: "the header of the index", where: chunks.place) }
    self.addresses = addresses
    self.number = number
    self.record = record
  }

  /// The sequences of its text.
  var text: SealedText? { addresses.text }

  /// The entries of its sequences, which hold everything except the tokens.
  ///
  /// - Throws: `corrupt` if the table is damaged.
  func sequenceTable(
    _ file: CorpusFile, _ transaction: borrowing ReadTransaction
  ) throws(StoreError) -> [SequenceTable.Entry] {
    try SegmentChunks(number, record, file).sequenceTable(transaction)
  }
}

/// The segments of a corpus at one moment, and the read transaction that keeps their bytes in
/// place.
final class SegmentView: @unchecked Sendable {
  // Unchecked: nothing changes after `init`, and segments are only read.
  let transaction: ReadTransaction
  let segments: [Segment]

  init(_ transaction: consuming ReadTransaction, _ segments: [Segment]) {
    self.transaction = transaction
    self.segments = segments
  }
}
