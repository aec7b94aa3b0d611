import Concurrency
import CorpusFormat
import HistoryEngine
import LMDB
import RepriseModel
import StoreErrors

/// The parts of a corpus that are used by work that changes its history on the disk: sealing, merging,
/// removing, adopting.
///
/// Such work holds an exclusive section, prepares a `HistoryChange` on its own thread, and has the writer
/// commit it.
struct HistoryEditor: Sendable {
  let settings: CorpusSettings
  let options: StoreOptions
  let stored: StoredHistory
  let writer: Writer
  let sections: ExclusiveSections
  let activity: ActivityLog

  var corpus: CorpusName { stored.corpus }
  var history: SharedHistory { stored.history }
  var file: CorpusFile { stored.file }
  /// The cancellation that long work checks.
  var cancellation: Cancellation { options.cancellation }
  var isCancelled: @Sendable () -> Bool { { [cancellation] in cancellation.isCancelled } }

  /// Prepares a change of the history and applies it.
  ///
  /// - Parameter body: Adds to the change, and applies it. If it throws, the chunks that it wrote
  ///   are deleted.
  func change<Result>(
    _ points: HistoryChange.CrashPoints,
    _ body: (inout HistoryChange) throws(StoreError) -> Result
  ) throws(StoreError) -> Result {
    var change = HistoryChange(of: self, points)
    do throws(StoreError) {
      return try body(&change)
    } catch {
      change.giveUp()
      throw error
    }
  }

  /// Calls `body` with each sequence of a segment, in the order of its text.
  ///
  /// - Throws: `corrupt` if a sequence is not what was written; `cancelled` if the corpus is being
  ///   closed.
  func forEachSequence(
    of segment: Segment, in view: SegmentView,
    _ body: (SequenceTable.Entry, Span<Int32>) throws(StoreError) -> Void
  ) throws(StoreError) {
    try view.forEachSequence(of: segment, cancellation, body)
  }

  /// Returns to the disk the space of dropped segments. No view of them may exist any more.
  func releaseFreePages() throws(StoreError) {
    // Pages that a commit frees can be reused only after the next commit.
    try writer.waitForJobs()
    let file = file
    do throws(LMDBError) {
      try file.environment.releaseFreePages(isCancelled: { cancellation.isCancelled })
    } catch {
      throw file.error(error)
    }
  }
}
