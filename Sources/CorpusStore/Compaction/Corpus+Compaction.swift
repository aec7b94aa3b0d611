import LMDB
import RepriseModel
import SuffixIndex

/// Turns growing parts into segments, and several segments into one.
extension Corpus {
  /// Seals or merges once. Returns true if there was anything to do.
  ///
  /// Each kind is called by one thread at a time: the compactor's, or a test's.
  func compactOnce(_ kind: Compaction) throws(StoreError) -> Bool {
    do throws(StoreError) {
      let did =
        switch kind {
        case .sealing: try keepWithinBounds() ? true : sealOnePart()
        case .merging: try mergeOnce()
        }
      noteCompaction(kind, failure: nil)
      return did
    } catch {
      noteCompaction(kind, failure: error)
      throw error
    }
  }

  /// Seals what is finished, and merges until there is nothing left to merge.
  ///
  /// For commands and tests: must not be called while the store compacts in the background, nor
  /// during inserts.
  ///
  /// - Parameter newestToo: True if the newest part is sealed although it is not full.
  public func compact(newestToo: Bool = true) throws(StoreError) {
    precondition(!compactsInBackground, "the store compacts in the background")
    if newestToo { beginPart(evenIfEmpty: false) }
    while true {
      if try !compactOnce(.sealing), try !compactOnce(.merging) { return }
    }
  }

  // MARK: Sealing

  private func sealOnePart() throws(StoreError) -> Bool {
    try sections.parts.enter { () throws(StoreError) in
      switch nextSealing() {
      case .nothing: return false
      case .move(let sessions):
        // A session that is being closed stays where it is, and reports when it has left.
        var moved = false
        for session in sessions where session.moveToCurrentPart() { moved = true }
        return moved
      case .seal(let part, let finished, let size):
        // Acknowledged sequences that are not in the log yet are saved first.
        try waitForWriter()
        try seal(part, finished, size)
        return true
      }
    }
  }

  /// Seals a part whose sequences are all finished.
  private func seal(
    _ part: GrowingPart.ID, _ finished: [FinishedSequence], _ size: HistorySize
  ) throws(StoreError) {
    let finished = finished.sorted { $0.order < $1.order }
    try changeHistory(.sealing) { (change) throws(StoreError) in
      if !finished.isEmpty {
        try change.add(build(finished, size: size)) { [cancellation] in
          cancellation.isCancelled
        }
        change.unlogged = finished.map(\.order)
      }
      try change.carryOut(retiring: part)
    }
    activity.note { activity in
      activity.sealings += 1
      activity.sealedTokens += size.tokens
    }
  }

  /// Builds a segment from sequences of the log.
  private func build(
    _ finished: [FinishedSequence], size: HistorySize
  ) throws(StoreError) -> BuiltSegment {
    let bytes = SegmentBuilder.bytesPerToken * (size.tokens + size.sequences)
    // Waiting for memory would keep more of it in growing indexes, so sealing never waits.
    guard let reservation = options.memory.reserve(bytes, for: .sealing, isUrgent: true) else {
      throw .memoryShort(bytes: bytes)
    }
    var builder = SegmentBuilder(depth: settings.depth, expected: size)
    let transaction = try file.beginReading()
    for sequence in finished {
      try cancellation.check()
      let record = try file.loggedSequence(sequence.order, transaction)
      builder.append(record.tokens.span, record.entry(order: sequence.order))
    }
    _ = consume transaction
    return try builder.build(reservation) { [cancellation] in cancellation.isCancelled }
  }

  // MARK: Merging

  private func mergeOnce() throws(StoreError) -> Bool {
    do throws(StoreError) {
      return try sections.segments.enter { () throws(StoreError) in
        // Another thread waits for the exclusive section and should not have to wait for a merge.
        if sections.segments.isWantedUrgently { return false }
        guard try mergeChosen() else { return false }
        try releaseFreePages()
        return true
      }
    } catch {
      switch error {
      // The merge is tried again when the thread that cancelled it is done.
      case .cancelled: return false
      case .memoryShort(let bytes):
        // The text branches in more places than was estimated.
        noteMergingNeeded(bytes)
        return false
      default: throw error
      }
    }
  }

  /// Merges the segments that the policy chooses. Releases the view that it reads before it
  /// returns.
  private func mergeChosen() throws(StoreError) -> Bool {
    guard let view = view else { return false }
    let memory = options.memory
    let choice = mergePolicy.choose(view.segments.map(\.candidate)) {
      memory.fits($0, for: .merging)
    }
    switch choice {
    case .none:
      noteMerging(.done)
      return false
    case .wait(let run):
      noteMerging(.waiting(segments: run.numbers.count, bytes: run.bytes))
      return false
    case .merge(let run):
      guard let reservation = memory.reserve(run.bytes, for: .merging) else {
        noteMerging(.waiting(segments: run.numbers.count, bytes: run.bytes))
        return false
      }
      noteMerging(.possible)
      let numbers = Set(run.numbers)
      try merge(view.segments.filter { numbers.contains($0.number) }, of: view, reservation)
      return true
    }
  }

  private func merge(
    _ segments: [Segment], of view: SegmentView, _ reservation: MemoryBudget.Reservation
  ) throws(StoreError) {
    var expected = HistorySize()
    for segment in segments { expected += segment.size }
    let isCancelled = { [cancellation, sections] in
      cancellation.isCancelled || sections.segments.isWantedUrgently
    }
    var builder = SegmentBuilder(
      depth: settings.depth, expected: expected,
      tableBytes: segments.reduce(0) { $0 + $1.record.tableBytes })
    for segment in segments {
      if isCancelled() { throw .cancelled }
      try forEachSequence(of: segment, in: view) { entry, tokens in builder.append(tokens, entry) }
      reservation.update(taken: builder.bytes)
    }
    let built = try builder.build(reservation, isCancelled: isCancelled)
    try changeHistory(.merging) { (change) throws(StoreError) in
      try change.add(built, isCancelled: isCancelled)
      change.dropped = segments.map { SegmentChunks($0.number, $0.record, file) }
      try change.carryOut()
    }
    activity.note { activity in
      activity.merges += 1
      activity.mergedTokens += expected.tokens
    }
  }

  /// Calls `body` with each sequence of a segment, in the order of its text.
  ///
  /// - Throws: `corrupt` if a sequence is not what was written: the digest of each is compared
  ///   before it is written again. `cancelled` if the corpus is being closed.
  func forEachSequence(
    of segment: Segment, in view: SegmentView,
    _ body: (SequenceTable.Entry, Span<Int32>) throws(StoreError) -> Void
  ) throws(StoreError) {
    let entries = try segment.sequenceTable(file, view.transaction)
    let place = "segment \(segment.number) of \(file.path)"
    var seen = 0
    var failure: StoreError?
    segment.text?.forEachSequence { index, tokens in
      guard index < entries.count, entries[index].digest == checksum(tokens.tokenBytes) else {
        failure = .corrupt(what: "sequence \(index)", where: place)
        return false
      }
      seen += 1
      do throws(StoreError) {
        try cancellation.check()
        try body(entries[index], tokens)
        return true
      } catch {
        failure = error
        return false
      }
    }
    if let failure { throw failure }
    if seen < entries.count { throw .corrupt(what: "the text", where: place) }
  }

  /// Returns to the disk the space of dropped segments. No view of them may exist any more.
  func releaseFreePages() throws(StoreError) {
    // Pages that a commit frees can be reused only after the next commit.
    try waitForWriter()
    do throws(LMDBError) {
      try file.environment.releaseFreePages(isCancelled: { cancellation.isCancelled })
    } catch {
      throw file.error(error)
    }
  }
}

extension SequenceRecord {
  /// The entry of the sequence in a segment's table.
  func entry(order: UInt64) -> SequenceTable.Entry {
    SequenceTable.Entry(
      order: order, committedSeconds: committedSeconds, digest: digest(tokens),
      tokens: tokens.count, id: id)
  }
}

extension Segment {
  var size: HistorySize { HistorySize(tokens: record.tokens, sequences: record.sequences) }
}
