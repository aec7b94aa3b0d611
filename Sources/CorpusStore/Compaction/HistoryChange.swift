import LMDB

/// A change of what a corpus keeps, or of its layout on the disk: segments are added and dropped,
/// and sequences leave the log. It is applied completely or not at all.
///
/// Chunks of new segments are written first, a few at a time, so that inserts never wait long. All
/// else is one transaction: the records of new segments, and the removal of what they replace. A
/// crash before that leaves chunks without a record, which are removed at the next open. Then,
/// before anything else is written, drafts switch to the new segments.
struct HistoryChange {
  private let corpus: Corpus
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

  /// Segments whose chunks are written.
  private var new: [(number: UInt64, record: SegmentRecord)] = []
  /// Segments that are dropped.
  var dropped: [SegmentChunks] = []
  /// Sequences that leave the log.
  var unlogged: [UInt64] = []
  /// Sequences whose ids are removed.
  var forgotten: [SequenceTable.Entry] = []
  /// Sequences whose ids are added.
  var added: [SequenceTable.Entry] = []

  /// Chunks in one transaction: some 30 ms of writing.
  private static let chunksPerCommit = 4

  init(of corpus: Corpus, _ points: CrashPoints) {
    self.corpus = corpus
    self.points = points
  }

  /// Writes the chunks of a new segment.
  ///
  /// - Parameter isCancelled: Called before each transaction.
  /// - Throws: `cancelled`, or the error of writing.
  mutating func add(_ segment: BuiltSegment, isCancelled: () -> Bool) throws(StoreError) {
    let number = corpus.takeSegmentNumber()
    new.append((number, segment.record))
    for chunks in Self.batches(ofChunks: segment.chunkCount) {
      if isCancelled() { throw .cancelled }
      try corpus.commit { (transaction, file) throws(LMDBError) in
        try segment.write(chunks, of: number, transaction, file)
      }
      points.chunks.reached()
    }
  }

  /// The chunks of a segment, grouped by the transactions that write them.
  static func batches(ofChunks count: Int) -> [Range<Int>] {
    stride(from: 0, to: count, by: chunksPerCommit).map { $0..<min($0 + chunksPerCommit, count) }
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
    let change = self
    let corpus = corpus
    points.record.reached()
    try corpus.commit(planning: planning) { (transaction, file) throws(LMDBError) in
      try change.write(transaction, file)
    } installing: { () throws(StoreError) in
      try corpus.install(
        change.new.map(\.number), replacing: change.dropped.map(\.number), retiring: retired)
      removed()
    }
    points.record.reached()
  }

  /// Deletes the chunks that were written for segments that were not added after all. A corpus that
  /// is being closed leaves this to its next opening.
  func giveUp() {
    let new = new
    if new.isEmpty || corpus.isClosing { return }
    // If that fails too, they are removed at the next open.
    try? corpus.commit { (transaction, file) throws(LMDBError) in
      for segment in new {
        // A change may fail after its commit, before memory is updated: then its segments stay.
        if try transaction.get(Key(segment.number), in: file.segments) != nil { continue }
        try Self.deleteChunks(segment.number, segment.record.checksums.count, transaction, file)
      }
    }
  }

  private func write(
    _ transaction: borrowing WriteTransaction, _ file: CorpusFile
  ) throws(LMDBError) {
    for segment in dropped {
      try transaction.delete(Key(segment.number), in: file.segments)
      try Self.deleteChunks(segment.number, segment.count, transaction, file)
    }
    for segment in new {
      let record = segment.record.encoded(segment: segment.number)
      try transaction.put(Key(segment.number), record.rawSpan, in: file.segments)
    }
    for order in unlogged { try transaction.delete(Key(order), in: file.log) }
    for entry in forgotten {
      guard let id = entry.id else { continue }
      // The id may belong to a newer sequence by now.
      var standsForIt = false
      if let bytes = try transaction.get(Key(id), in: file.ids) {
        standsForIt = IDRecord(bytes, id: [UInt8](id.utf8).rawSpan)?.order == entry.order
      }
      if standsForIt { try transaction.delete(Key(id), in: file.ids) }
    }
    for entry in added {
      guard let id = entry.id else { continue }
      let record = IDRecord(order: entry.order, digest: entry.digest).encoded(id: id)
      try transaction.put(Key(id), record.rawSpan, in: file.ids)
    }
  }

  static func deleteChunks(
    _ segment: UInt64, _ count: Int, _ transaction: borrowing WriteTransaction, _ file: CorpusFile
  ) throws(LMDBError) {
    for chunk in 0..<count {
      let key = CorpusFile.chunkKey(segment: segment, chunk: chunk)
      try transaction.delete(key, in: file.chunks)
    }
  }
}

extension Corpus {
  /// Prepares a change of the history and applies it.
  ///
  /// - Parameter body: Adds to the change, and applies it. If it throws, the chunks that it wrote
  ///   are deleted.
  func changeHistory<Result>(
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
}
