import LMDB
import SuffixIndex

/// A sealed index that lies in the corpus's file, and the addresses of its chunks there.
///
/// Its bytes are readable only while a `SegmentView` that lists it is alive.
@safe
final class Segment {
  let number: UInt64
  let record: SegmentRecord
  let index: SealedIndex
  // SAFETY: allocated in `init`, freed in `deinit`; entries are addresses in the map, which do not
  // change while the chunks stand in the file: LMDB never moves a value that isn't written again.
  private let chunks: UnsafeMutablePointer<UnsafeRawPointer>

  /// Finds the chunks of a segment. Reads one page of each at most.
  init(
    _ number: UInt64, _ record: SegmentRecord, in file: CorpusFile,
    _ transaction: borrowing ReadTransaction
  ) throws(StoreError) {
    let place = "segment \(number) of \(file.path)"
    let table = UnsafeMutablePointer<UnsafeRawPointer>.allocate(
      capacity: max(1, record.imageChunks))
    do throws(StoreError) {
      for chunk in 0..<record.imageChunks {
        let key = CorpusFile.chunkKey(segment: number, chunk: chunk)
        let bytes: UnsafeRawBufferPointer?
        do throws(LMDBError) {
          unsafe bytes = try transaction.unsafeGet(key, in: file.chunks)
        } catch {
          throw file.error(error)
        }
        guard let bytes = unsafe bytes, let base = bytes.baseAddress,
          bytes.count == record.byteCount(ofChunk: chunk),
          Int(bitPattern: base) % 8 == 0
        else { throw .corrupt(what: "chunk \(chunk)", where: place) }
        unsafe (table + chunk).initialize(to: base)
      }
      do throws(SealedIndex.FormatError) {
        index = try SealedIndex(
          unsafe SealedImage(chunks: table, byteCount: record.imageBytes))
      } catch {
        throw .corrupt(what: error.description, where: place)
      }
    } catch {
      unsafe table.deallocate()
      throw error
    }
    unsafe chunks = table
    self.number = number
    self.record = record
  }

  deinit { unsafe chunks.deallocate() }

  /// Compares every chunk with its checksum.
  ///
  /// - Throws: `corrupt`, naming the first damaged chunk.
  func verify(in file: CorpusFile, _ transaction: borrowing ReadTransaction) throws(StoreError) {
    for chunk in 0..<(record.imageChunks + record.tableChunks) {
      let key = CorpusFile.chunkKey(segment: number, chunk: chunk)
      var found: UInt64?
      do throws(LMDBError) {
        if let bytes = try transaction.get(key, in: file.chunks) { found = checksum(bytes) }
      } catch {
        throw file.error(error)
      }
      if found != record.checksums[chunk] {
        throw .corrupt(what: "chunk \(chunk)", where: "segment \(number) of \(file.path)")
      }
    }
  }
}

/// The segments of a corpus at one moment, and the read transaction that keeps their bytes there.
final class SegmentView: @unchecked Sendable {
  // @unchecked Sendable: nothing changes after `init`, and segments are only read.
  let transaction: ReadTransaction
  let segments: [Segment]

  init(_ transaction: consuming ReadTransaction, _ segments: [Segment]) {
    self.transaction = transaction
    self.segments = segments
  }
}
