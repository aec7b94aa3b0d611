import Concurrency
import CorpusFormat
import HistoryEngine
import LMDB
import StoreErrors

/// A change of what a corpus keeps, or of its layout on the disk: segments are added and dropped,
/// and sequences leave the log. It is applied completely or not at all.
///
/// Chunks of new segments are written first, a few at a time, so that inserts never wait long. All
/// else is one transaction: the records of new segments, and the removal of what they replace. A
/// crash before that leaves chunks without a record, which are removed at the next open. Then,
/// before anything else is written, drafts switch to the new segments.
struct HistoryChange {
  private let editor: HistoryEditor
  private let points: CrashPoints

  /// The points at which the crash tests end the process.
  struct CrashPoints {
    var chunks: CrashPoint
    var record: CrashPoint

    static let sealing = CrashPoints(chunks: .sealChunks, record: .sealRecord)
    static let merging = CrashPoints(chunks: .mergeChunks, record: .mergeRecord)
    static let removal = CrashPoints(chunks: .removalChunks, record: .removalRecord)
    static let corpusMerge = CrashPoints(chunks: .corpusMergeChunks, record: .corpusMergeRecord)
  }

  /// The changes of records. Those of new segments are among them once their chunks are written.
  var records = RecordChange()

  init(of editor: HistoryEditor, _ points: CrashPoints) {
    self.editor = editor
    self.points = points
  }

  /// Writes the chunks of a new segment.
  ///
  /// - Parameter isCancelled: Called before each transaction.
  /// - Throws: `cancelled`, or the error of writing.
  mutating func add(_ segment: BuiltSegment, isCancelled: () -> Bool) throws(StoreError) {
    let number = editor.stored.takeSegmentNumber()
    records.added.append(RecordChange.NewSegment(number: number, record: segment.content.record))
    for chunks in segment.content.batches {
      if isCancelled() { throw .cancelled }
      try editor.writer.commit { (transaction, file) throws(LMDBError) in
        try segment.content.write(chunks, of: number, transaction, file)
      }
      points.chunks.reached()
    }
  }

  /// Applies the change.
  ///
  /// - Parameters:
  ///   - planning: For a change that adds history.
  ///   - retired: A part whose sequences are all in a new segment now.
  ///   - removed: Called when the history's new view is in place, to remove from memory as well
  ///     what was removed from the log.
  func carryOut(
    planning: ChangeJob.Planning? = nil, retiring retired: GrowingPart.ID? = nil,
    removed: @escaping @Sendable () -> Void = {}
  ) throws(StoreError) {
    let (records, stored) = (records, editor.stored)
    points.record.reached()
    try editor.writer.commit(planning: planning) { (transaction, file) throws(LMDBError) in
      try records.write(transaction, file)
    } installing: { () throws(StoreError) in
      try stored.install(
        records.added.map(\.number), replacing: records.dropped.map(\.number), retiring: retired)
      removed()
    }
    points.record.reached()
  }

  /// Deletes the chunks that were written for segments that were not added after all. A corpus that
  /// is being closed leaves this to its next opening.
  func giveUp() {
    let new = records.added
    if new.isEmpty || editor.cancellation.isCancelled { return }
    // If that fails too, they are removed at the next open.
    try? editor.writer.commit { (transaction, file) throws(LMDBError) in
      for segment in new {
        // A change may fail after its commit, before memory is updated: then its segments stay.
        if try transaction.get(Key(segment.number), in: file.segments) != nil { continue }
        try SegmentChunks(segment.number, segment.record, file).delete(transaction)
      }
    }
  }
}
