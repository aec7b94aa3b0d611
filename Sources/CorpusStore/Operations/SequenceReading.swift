import Concurrency
import CorpusFormat
import LMDB
import StoreErrors

/// Reads the finished sequences of a corpus from its file.
struct SequenceReading {
  let editor: HistoryEditor

  typealias Sequence = (entry: SequenceTable.Entry, tokens: [Int32])

  /// All finished sequences, in no particular order. The corpus is not closed, and nothing is forgotten
  /// or restored, meanwhile.
  func all() throws(StoreError) -> [Sequence] {
    try editor.sections.copies.enter { () throws(StoreError) in try read() }
  }

  private func read() throws(StoreError) -> [Sequence] {
    // All acknowledged sequences are then in the file, and no segment of the view is about to be
    // dropped.
    if !editor.writer.isReadOnly { try editor.writer.waitForJobs() }
    let view = try editor.stored.view()
    var sequences: [Sequence] = []
    for segment in view.segments {
      try editor.forEachSequence(of: segment, in: view) { entry, tokens in
        sequences.append((entry, tokens.indices.map { tokens[$0] }))
      }
    }
    let cancellation = editor.cancellation
    do throws(LMDBError) {
      try view.transaction.forEach(in: view.file.log) { key, value in
        if cancellation.isCancelled { return false }
        if let order = Key.number(key), let record = SequenceRecord(value, order: order) {
          sequences.append((record.entry(order: order), record.tokens))
        }
        return true
      }
    } catch {
      throw view.file.error(error)
    }
    try cancellation.check()
    return sequences
  }
}
