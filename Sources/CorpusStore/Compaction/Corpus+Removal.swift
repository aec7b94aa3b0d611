import LMDB
import RepriseModel
import SuffixIndex

/// Removes sequences from the history: completely, from drafts and from the disk.
extension Corpus {
  /// The outcome of `remove`.
  struct Removed {
    var size = HistorySize()
    fileprivate var logged: [(order: UInt64, tokens: [Int32])] = []
  }

  /// Removes finished sequences. The caller holds the exclusive sections of segments and parts.
  ///
  /// Segments all of whose sequences leave are dropped; others are rewritten without the sequences
  /// that leave. Drafts therefore change from one exact history to another, and removed data
  /// remains only in free pages.
  ///
  /// - Parameter leaves: Returns true if a sequence leaves. (The tokens are not known then, only
  ///   their digest.)
  /// - Complexity: 1 µs for each token of a segment that is rewritten, and reads the tables of all
  ///   segments.
  @discardableResult
  func remove(
    where leaves: (SequenceTable.Entry) -> Bool
  ) throws(StoreError) -> Removed {
    // Acknowledged sequences that are not in the log yet are saved first, so that they can be
    // removed. Sequences acknowledged after that are not affected.
    let inMemory = finishedInMemory()
    try waitForWriter()
    guard let view = view else { throw .closed(corpus: name) }
    return try changeHistory(.removal) { (change) throws(StoreError) in
      var removed = Removed()
      for segment in view.segments {
        try remove(from: segment, of: view, where: leaves, &change, &removed)
      }
      try collectLogged(inMemory, where: leaves, &change, &removed)
      for entry in change.forgotten {
        removed.size += HistorySize(tokens: entry.tokens, sequences: 1)
      }
      if change.forgotten.isEmpty { return removed }
      let logged = removed.logged
      try change.carryOut(removed: { [self] in
        for sequence in logged { removeFromMemory(sequence.order, sequence.tokens) }
      })
      return removed
    }
  }

  private func remove(
    from segment: Segment, of view: SegmentView, where leaves: (SequenceTable.Entry) -> Bool,
    _ change: inout HistoryChange, _ removed: inout Removed
  ) throws(StoreError) {
    let entries = try segment.sequenceTable(file, view.transaction)
    let leaving = entries.filter(leaves)
    if leaving.isEmpty { return }
    if leaving.count < entries.count {
      let orders = Set(leaving.map(\.order))
      let isCancelled = { [cancellation] in cancellation.isCancelled }
      var pieces = SegmentPieces(
        depth: settings.depth, options.memory, expected: segment.size, isCancelled: isCancelled)
      try forEachSequence(of: segment, in: view) { (entry, tokens) throws(StoreError) in
        if orders.contains(entry.order) { return }
        if let full = try pieces.append(tokens, entry) {
          try change.add(full, isCancelled: isCancelled)
        }
      }
      if let last = try pieces.finish() { try change.add(last, isCancelled: isCancelled) }
    }
    change.forgotten += leaving
    change.dropped.append(SegmentChunks(segment.number, segment.record, file))
  }

  private func collectLogged(
    _ sequences: [FinishedSequence], where leaves: (SequenceTable.Entry) -> Bool,
    _ change: inout HistoryChange, _ removed: inout Removed
  ) throws(StoreError) {
    let transaction = try file.beginReading()
    for sequence in sequences {
      try cancellation.check()
      let record = try file.loggedSequence(sequence.order, transaction)
      let entry = record.entry(order: sequence.order)
      if !leaves(entry) { continue }
      change.unlogged.append(sequence.order)
      change.forgotten.append(entry)
      removed.logged.append((sequence.order, record.tokens))
    }
  }
}
