import Concurrency
import CorpusFormat
import HistoryEngine
import LMDB
import RepriseModel
import StoreErrors

/// Adds the sequences of one corpus to another; see `Store.mergeCorpus`.
struct CorpusMerge {
  private let from: HistoryEditor
  private let into: HistoryEditor

  /// The number of tokens in one new segment.
  private static let tokensPerSegment = 8 << 20
  /// Memory for the data on a sequence, its id included, in three lists.
  private static let bytesPerSequence = 512
  /// The number of attempts: one fails if another call inserts one of the ids before it is done.
  private static let tries = 3

  init(_ from: HistoryEditor, _ into: HistoryEditor) {
    self.from = from
    self.into = into
  }

  /// Merges. Holds the exclusive sections of copies of both, so nothing is forgotten or restored in the
  /// meantime.
  func run(_ progress: ProgressReceiver) throws(StoreError) -> MergeReceipt {
    // Always in the same order, so that two opposite merges cannot deadlock.
    let (first, second) = from.corpus < into.corpus ? (from, into) : (into, from)
    return try first.sections.copies.enter { () throws(StoreError) in
      try second.sections.copies.enter(as: .copiesOfOther) { () throws(StoreError) in
        try runUntilUncontested(progress)
      }
    }
  }

  private func runUntilUncontested(_ progress: ProgressReceiver) throws(StoreError) -> MergeReceipt
  {
    for attempt in 1... {
      do throws(StoreError) {
        return try runOnce(progress)
      } catch {
        guard case .conflict = error, attempt < Self.tries else { throw error }
      }
    }
    throw .cancelled
  }

  private func runOnce(_ progress: ProgressReceiver) throws(StoreError) -> MergeReceipt {
    // From here on, acknowledged sequences are in the file and in the view.
    try from.writer.waitForJobs()
    try into.writer.waitForJobs()
    let view = try from.stored.view()
    var receipt = MergeReceipt()
    let listingBytes = Self.bytesPerSequence * from.history.size.sequences
    guard let listing = into.options.memory.reserve(listingBytes, for: .operations) else {
      throw .memoryShort(bytes: listingBytes)
    }
    defer { withExtendedLifetime(listing) {} }
    let entries = try chooseEntries(view, &receipt)
    if entries.isEmpty { return receipt }
    let size = entries.reduce(into: HistorySize()) { $0 += $1.size }
    receipt.sequences = size.sequences
    receipt.tokens = size.tokens
    listing.update(taken: entries.count * MemoryLayout<SequenceTable.Entry>.stride)
    let firstOrder = try takeOrders(entries.count, size)

    // Old order number → the entry of the sequence in the other corpus.
    var moved: [UInt64: SequenceTable.Entry] = [:]
    for (place, entry) in entries.enumerated() {
      var new = entry
      new.order = firstOrder + UInt64(place)
      moved[entry.order] = new
    }
    try into.change(.corpusMerge) { (change) throws(StoreError) in
      try writeSegments(view, moved, &change, progress, total: size)
      let added = moved.values.sorted { $0.order < $1.order }
      change.records.identified = added
      try change.carryOut(planning: { (planning) throws(WriteRefusal) in
        for case let entry in added {
          // Another call may have inserted it in the meantime.
          if let id = entry.id, try planning.digest(ofID: id) != nil {
            throw .refused(.conflict(id: id))
          }
        }
        try planning.takeRoom(size)
      })
    }
    withExtendedLifetime(view) {}
    return receipt
  }

  /// The sequences to be moved, oldest first.
  private func chooseEntries(
    _ view: SegmentView, _ receipt: inout MergeReceipt
  ) throws(StoreError) -> [SequenceTable.Entry] {
    var entries: [SequenceTable.Entry] = []
    for segment in view.segments {
      entries += try view.sequenceTable(of: segment)
    }
    try forEachLogged(view) { order, record in entries.append(record.entry(order: order)) }
    entries.sort { $0.order < $1.order }
    let reading = try into.file.beginReading()
    var chosen: [SequenceTable.Entry] = []
    for entry in entries {
      try into.cancellation.check()
      if let id = entry.id, let known = try into.file.idRecord(id, reading) {
        if known.digest == entry.outputDigest {
          receipt.duplicates += 1
        } else {
          receipt.conflicts += 1
        }
      } else {
        chosen.append(entry)
      }
    }
    return chosen
  }

  private func forEachLogged(
    _ view: SegmentView, _ body: (UInt64, SequenceRecord) throws(StoreError) -> Void
  ) throws(StoreError) {
    var orders: [UInt64] = []
    do throws(LMDBError) {
      try view.transaction.forEach(in: view.file.log) { key, _ in
        if let order = Key.number(key) { orders.append(order) }
        return true
      }
    } catch {
      throw view.file.error(error)
    }
    for order in orders {
      try from.cancellation.check()
      try body(order, view.file.loggedSequence(order, view.transaction))
    }
  }

  /// Reserves order numbers, which are not given to others even if they stay unused.
  private func takeOrders(_ count: Int, _ size: HistorySize) throws(StoreError) -> UInt64 {
    // Set again where the job is prepared again.
    let first = Locked<UInt64>(0)
    try into.writer.commit(
      planning: { (planning) throws(WriteRefusal) in
        let order = planning.takeOrders(count)
        first.withLock { $0 = order }
      }, { (_, _) throws(LMDBError) in })
    return first.withLock { $0 }
  }

  private func writeSegments(
    _ view: SegmentView, _ moved: [UInt64: SequenceTable.Entry], _ change: inout HistoryChange,
    _ progress: ProgressReceiver, total size: HistorySize
  ) throws(StoreError) {
    let isCancelled = { [from = from.cancellation, into = into.cancellation] in
      from.isCancelled || into.isCancelled
    }
    var pieces = SegmentPieces(
      depth: into.settings.depth, into.options.memory, expected: size,
      tokensMax: Self.tokensPerSegment, isCancelled: isCancelled)
    var done = 0
    func write(_ segment: BuiltSegment) throws(StoreError) {
      done += segment.content.record.size.tokens
      try change.add(segment, isCancelled: isCancelled)
      progress(done, size.tokens)
    }
    for segment in view.segments {
      try from.forEachSequence(of: segment, in: view) { (entry, tokens) throws(StoreError) in
        guard let new = moved[entry.order] else { return }
        if let full = try pieces.append(tokens, new) { try write(full) }
      }
    }
    try forEachLogged(view) { (order, record) throws(StoreError) in
      guard let new = moved[order] else { return }
      if let full = try pieces.append(record.tokens.span, new) { try write(full) }
    }
    if let last = try pieces.finish() { try write(last) }
  }
}
