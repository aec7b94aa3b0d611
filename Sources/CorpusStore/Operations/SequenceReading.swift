import Concurrency
import CorpusFormat
import LMDB
import RepriseModel
import StoreErrors

extension KeptSequence {
  fileprivate init(_ entry: SequenceTable.Entry, _ tokens: some Collection<Int32>) {
    self.init(
      order: entry.order, id: entry.id, leadIn: Array(tokens.prefix(entry.leadInTokens)),
      output: Array(tokens.dropFirst(entry.leadInTokens)))
  }
}

/// Reads the finished sequences of a corpus from its file.
struct SequenceReading {
  let editor: HistoryEditor

  /// All finished sequences, in no particular order. The corpus is not closed, and nothing is forgotten
  /// or restored, meanwhile.
  func all() throws(StoreError) -> [KeptSequence] {
    try editor.sections.copies.enter { () throws(StoreError) in try read() }
  }

  private func read() throws(StoreError) -> [KeptSequence] {
    // All acknowledged sequences are then in the file, and no segment of the view is about to be
    // dropped.
    if !editor.writer.isReadOnly { try editor.writer.waitForJobs() }
    let view = try editor.stored.view()
    var sequences: [KeptSequence] = []
    for segment in view.segments {
      try editor.forEachSequence(of: segment, in: view) { entry, tokens in
        sequences.append(KeptSequence(entry, tokens.indices.map { tokens[$0] }))
      }
    }
    let cancellation = editor.cancellation
    do throws(LMDBError) {
      try view.transaction.forEach(in: view.file.log) { key, value in
        if cancellation.isCancelled { return false }
        if let order = Key.number(key), let record = SequenceRecord(value, order: order) {
          sequences.append(KeptSequence(record.entry(order: order), record.tokens))
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
