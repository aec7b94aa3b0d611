import LMDB
import StoreErrors
import SuffixIndex

/// The addresses of the chunks of a segment's image in the map.
///
/// They are readable only while the transaction that found them is open, or a later one of the same
/// file: a chunk keeps its address as long as it is in the file, because LMDB never moves a value
/// that is not written again.
@safe
package final class ChunkAddresses {
  // SAFETY: allocated in `init`, freed in `deinit`, never changed between.
  private let table: UnsafeMutablePointer<UnsafeRawPointer>
  private let record: SegmentRecord

  /// Finds the chunks.
  ///
  /// - Returns: nil if a chunk is missing or has the wrong size.
  package init?(
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
  package var image: SealedImage {
    unsafe SealedImage(chunks: table, byteCount: record.imageBytes)
  }

  /// The sequences, which can be read although the header may be damaged; nil if the record
  /// describes a text that does not fit the image.
  package var text: SealedText? {
    try? SealedText(image, textTokens: record.textTokens, tokenBits: record.tokenBits)
  }
}
