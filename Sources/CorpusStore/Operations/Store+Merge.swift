import Concurrency
import LMDB
import RepriseModel
import SuffixIndex

extension Store {
  /// Adds the sequences of one corpus to another, completely or not at all; sequences whose id the
  /// other corpus already holds are skipped. The added sequences come after all existing ones, in
  /// their own order, and keep the time of their commit. The source corpus stays unchanged.
  ///
  /// Both remain available for reading and writing; sequences that arrive at the source in the
  /// meantime may be left out.
  ///
  /// - Complexity: 1 µs a token. Memory: 512 bytes for each sequence to be added, and room to build
  ///   a segment of at most 8 million tokens, which is smaller if memory is short.
  /// - Throws: `memoryShort` if there are more sequences than memory has room for now.
  public func mergeCorpus(
    from source: CorpusName, into target: CorpusName, progress: @escaping Progress = { _, _ in }
  ) throws(StoreError) -> MergeReceipt {
    guard let from = try corpus(named: source) else { throw .corpusNotFound(source) }
    guard let into = try corpus(named: target) else { throw .corpusNotFound(target) }
    if into.isReadOnly { throw .readOnly(corpus: target) }
    if from === into { throw .settings("a corpus cannot be merged into itself") }
    let differences = into.settings.differences(from: from.settings).filter(\.separatesTokens)
    if !differences.isEmpty { throw .settingsDiffer(differences: differences) }
    // Always in the same order, so that two opposite merges cannot deadlock.
    let (first, second) = source < target ? (from, into) : (into, from)
    return try first.sections.copies.enter { () throws(StoreError) in
      try second.sections.copies.enter(as: .copiesOfOther) { () throws(StoreError) in
        try CorpusMerge(from, into).run(progress)
      }
    }
  }
}

/// One merge of corpora. It holds the exclusive sections of copies of both, so nothing is forgotten
/// or restored in the meantime.
private struct CorpusMerge {
  private let from: Corpus
  private let into: Corpus

  /// The number of tokens in one new segment.
  private static let tokensPerSegment = 8 << 20
  /// Memory for the data on a sequence, its id included, in three lists.
  private static let bytesPerSequence = 512
  /// The number of attempts: one fails if another call inserts one of the ids before it is done.
  private static let tries = 3

  init(_ from: Corpus, _ into: Corpus) {
    self.from = from
    self.into = into
  }

  func run(_ progress: Progress) throws(StoreError) -> MergeReceipt {
    for attempt in 1... {
      do throws(StoreError) {
        return try runOnce(progress)
      } catch {
        guard case .conflict = error, attempt < Self.tries else { throw error }
      }
    }
    throw .cancelled
  }

  private func runOnce(_ progress: Progress) throws(StoreError) -> MergeReceipt {
    // From here on, acknowledged sequences are in the file and in the view.
    try from.waitForWriter()
    try into.waitForWriter()
    guard let view = from.view else { throw .closed(corpus: from.name) }
    var receipt = MergeReceipt()
    let listingBytes = Self.bytesPerSequence * from.size.sequences
    guard let listing = into.options.memory.reserve(listingBytes, for: .operations) else {
      throw .memoryShort(bytes: listingBytes)
    }
    defer { withExtendedLifetime(listing) {} }
    let entries = try chooseEntries(view, &receipt)
    if entries.isEmpty { return receipt }
    receipt.sequences = entries.count
    receipt.tokens = entries.reduce(0) { $0 + $1.tokens }
    let size = HistorySize(tokens: receipt.tokens, sequences: receipt.sequences)
    listing.update(taken: entries.count * MemoryLayout<SequenceTable.Entry>.stride)
    let firstOrder = try takeOrders(entries.count, size)

    // Old order number → the entry of the sequence in the other corpus.
    var moved: [UInt64: SequenceTable.Entry] = [:]
    for (place, entry) in entries.enumerated() {
      var new = entry
      new.order = firstOrder + UInt64(place)
      moved[entry.order] = new
    }
    try into.changeHistory(.corpusMerge) { (change) throws(StoreError) in
      try writeSegments(view, moved, &change, progress, total: size)
      change.added = moved.values.sorted { $0.order < $1.order }
      let added = change.added
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
      entries += try segment.sequenceTable(from.file, view.transaction)
    }
    try forEachLogged(view) { order, record in entries.append(record.entry(order: order)) }
    entries.sort { $0.order < $1.order }
    let reading = try into.file.beginReading()
    var chosen: [SequenceTable.Entry] = []
    for entry in entries {
      try into.cancellation.check()
      if let id = entry.id, let known = try into.file.idRecord(id, reading) {
        if known.digest == entry.digest { receipt.duplicates += 1 } else { receipt.conflicts += 1 }
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
      try view.transaction.forEach(in: from.file.log) { key, _ in
        if let order = Key.number(key) { orders.append(order) }
        return true
      }
    } catch {
      throw from.file.error(error)
    }
    for order in orders {
      try from.cancellation.check()
      try body(order, from.file.loggedSequence(order, view.transaction))
    }
  }

  /// Reserves order numbers, which are not given to others even if they stay unused.
  private func takeOrders(_ count: Int, _ size: HistorySize) throws(StoreError) -> UInt64 {
    // Set again where the job is prepared again.
    let first = Locked<UInt64>(0)
    try into.commit(
      planning: { (planning) throws(WriteRefusal) in
        let order = planning.takeOrders(count)
        first.withLock { $0 = order }
      }, { (_, _) throws(LMDBError) in })
    return first.withLock { $0 }
  }

  private func writeSegments(
    _ view: SegmentView, _ moved: [UInt64: SequenceTable.Entry], _ change: inout HistoryChange,
    _ progress: Progress, total size: HistorySize
  ) throws(StoreError) {
    let isCancelled = { [from, into] in from.isClosing || into.isClosing }
    var pieces = SegmentPieces(
      depth: into.settings.depth, into.options.memory, expected: size,
      tokensMax: Self.tokensPerSegment, isCancelled: isCancelled)
    var done = 0
    func write(_ segment: BuiltSegment) throws(StoreError) {
      done += segment.record.tokens
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
