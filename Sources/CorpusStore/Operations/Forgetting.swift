import Concurrency
import CorpusFormat
import Foundation
import HistoryEngine
import LMDB
import RepriseModel
import StoreErrors

/// Removes sequences permanently, from drafts, later snapshots and the disk.
struct Forgetting {
  let editor: HistoryEditor
  let readers: ReaderWatch

  /// The time between two tries, in microseconds.
  private static let overwriteWaitMicros: UInt32 = 100_000

  /// Removes sequences; see `Corpus.forget`.
  func forget(ids: [String], patience: Duration) throws(StoreError) -> ForgetReceipt {
    if editor.writer.isReadOnly { throw .readOnly(corpus: editor.corpus) }
    // No snapshot is being taken that could end after this and hold the removed sequences.
    return try editor.sections.enterAll { () throws(StoreError) in
      try editor.writer.waitForJobs()
      let orders = try orders(of: ids)
      let removed = try HistoryRemoval(editor: editor).remove { orders.contains($0.order) }
      editor.history.dropGroups()
      CrashPoint.forgetOverwrite.reached()
      try overwriteFreePages(patience)
      CrashPoint.forgetOverwrite.reached()
      return ForgetReceipt(
        forgotten: removed.sequences, tokens: removed.tokens,
        missing: Set(ids).count - removed.sequences)
    }
  }

  private func orders(of ids: [String]) throws(StoreError) -> Set<UInt64> {
    let file = editor.file
    let transaction = try file.beginReading()
    var orders: Set<UInt64> = []
    for id in ids {
      if !(1...NewSequence.idBytesMax).contains(id.utf8.count) { continue }
      if let record = try file.idRecord(id, transaction) { orders.insert(record.order) }
    }
    return orders
  }

  private func overwriteFreePages(_ patience: Duration) throws(StoreError) {
    let clock = editor.options.clock
    let end = clock.now() + patience
    let file = editor.file
    while true {
      // Pages can be reused only after another commit, after which the view moves on too.
      try editor.writer.waitForJobs()
      do throws(LMDBError) {
        try file.environment.overwriteBuffers(using: file.setAside)
        if try file.environment.overwriteUnused(isCancelled: editor.isCancelled) { return }
      } catch {
        throw file.error(error)
      }
      if editor.cancellation.isCancelled { throw .cancelled }
      if clock.now() >= end { break }
      usleep(Self.overwriteWaitMicros)
    }
    throw .stillRead(corpus: editor.corpus, readers: readers.others.map(\.description))
  }
}
