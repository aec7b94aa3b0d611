import Concurrency
import CorpusFormat
import HistoryEngine
import RepriseModel
import StoreErrors

/// Removes sequences from the history: completely, from drafts and from the disk.
struct HistoryRemoval: Sendable {
  let editor: HistoryEditor

  /// Sequences of the log that leave, which memory holds as well.
  private typealias Logged = [(order: UInt64, tokens: [Int32])]

  /// Removes finished sequences. The caller holds the exclusive sections of segments and parts.
  ///
  /// Segments all of whose sequences leave are dropped; others are rewritten without the sequences
  /// that leave. Drafts therefore change from one exact history to another, and removed data
  /// remains only in free pages.
  ///
  /// - Parameter leaves: Returns true if a sequence leaves. (The tokens are not known then, only
  ///   their digest.)
  /// - Returns: The size of what was removed.
  /// - Complexity: 1 µs for each token of a segment that is rewritten, and reads the tables of all
  ///   segments.
  @discardableResult
  func remove(
    where leaves: (SequenceTable.Entry) -> Bool
  ) throws(StoreError) -> HistorySize {
    // Acknowledged sequences that are not in the log yet are saved first, so that they can be
    // removed. Sequences acknowledged after that are not affected.
    let history = editor.history
    let inMemory = history.finishedSequences
    try editor.writer.waitForJobs()
    let view = try editor.stored.view()
    return try editor.change(.removal) { (change) throws(StoreError) in
      for segment in view.segments {
        try remove(from: segment, of: view, where: leaves, &change)
      }
      let logged = try collectLogged(inMemory, where: leaves, &change)
      let forgotten = change.records.forgotten
      if forgotten.isEmpty { return HistorySize() }
      try change.carryOut(removed: {
        for sequence in logged { history.remove(sequence.order, sequence.tokens) }
      })
      return forgotten.reduce(into: HistorySize()) { $0 += $1.size }
    }
  }

  private func remove(
    from segment: Segment, of view: SegmentView, where leaves: (SequenceTable.Entry) -> Bool,
    _ change: inout HistoryChange
  ) throws(StoreError) {
    let entries = try view.sequenceTable(of: segment)
    let leaving = entries.filter(leaves)
    if leaving.isEmpty { return }
    if leaving.count < entries.count {
      let orders = Set(leaving.map(\.order))
      let isCancelled = editor.isCancelled
      var pieces = SegmentPieces(
        depth: editor.settings.depth, editor.options.memory, expected: segment.size,
        isCancelled: isCancelled)
      try editor.forEachSequence(of: segment, in: view) { (entry, tokens) throws(StoreError) in
        if orders.contains(entry.order) { return }
        if let full = try pieces.append(tokens, entry) {
          try change.add(full, isCancelled: isCancelled)
        }
      }
      if let last = try pieces.finish() { try change.add(last, isCancelled: isCancelled) }
    }
    change.records.forgotten += leaving
    change.records.dropped.append(view.chunks(of: segment))
  }

  private func collectLogged(
    _ sequences: [FinishedSequence], where leaves: (SequenceTable.Entry) -> Bool,
    _ change: inout HistoryChange
  ) throws(StoreError) -> Logged {
    var logged: Logged = []
    let file = editor.file
    let transaction = try file.beginReading()
    for sequence in sequences {
      try editor.cancellation.check()
      let record = try file.loggedSequence(sequence.order, transaction)
      let entry = record.entry(order: sequence.order)
      if !leaves(entry) { continue }
      change.records.unlogged.append(sequence.order)
      change.records.forgotten.append(entry)
      logged.append((sequence.order, record.tokens))
    }
    return logged
  }
}
