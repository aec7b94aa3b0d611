import Concurrency
import LMDB
import StoreErrors
import SuffixIndex

/// The segments of a corpus at one moment, and the read transaction that keeps their bytes in
/// place.
package final class SegmentView: @unchecked Sendable {
  // Unchecked: nothing changes after `init`, and segments are only read.
  package let transaction: ReadTransaction
  /// By rising number.
  package let segments: [Segment]
  package let file: CorpusFile

  package init(
    _ transaction: consuming ReadTransaction, _ segments: [Segment], of file: CorpusFile
  ) {
    self.transaction = transaction
    self.segments = segments
    self.file = file
  }

  package func chunks(of segment: Segment) -> SegmentChunks {
    SegmentChunks(segment.number, segment.record, file)
  }

  /// The entries of a segment's sequences, which hold everything except the tokens.
  ///
  /// - Throws: `corrupt` if the table is damaged.
  package func sequenceTable(of segment: Segment) throws(StoreError) -> [SequenceTable.Entry] {
    try segment.sequenceTable(file, transaction)
  }

  /// Calls `body` with each sequence of a segment, in the order of its text.
  ///
  /// - Throws: `corrupt` if a sequence is not what was written: the digest of each is compared
  ///   before it is written again. `cancelled`.
  package func forEachSequence(
    of segment: Segment, _ cancellation: Cancellation,
    _ body: (SequenceTable.Entry, Span<Int32>) throws(StoreError) -> Void
  ) throws(StoreError) {
    let entries = try sequenceTable(of: segment)
    let place = chunks(of: segment).place
    var seen = 0
    var failure: StoreError?
    segment.text?.forEachSequence { index, tokens in
      guard index < entries.count, entries[index].digest == checksum(tokens.tokenBytes) else {
        failure = .corrupt(what: "sequence \(index)", where: place)
        return false
      }
      seen += 1
      do throws(StoreError) {
        try cancellation.check()
        try body(entries[index], tokens)
        return true
      } catch {
        failure = error
        return false
      }
    }
    if let failure { throw failure }
    if seen < entries.count { throw .corrupt(what: "the text", where: place) }
  }
}
