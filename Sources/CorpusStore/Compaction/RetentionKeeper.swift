import CorpusFormat
import HistoryEngine
import RepriseModel
import StoreErrors

/// Keeps the history within the configured bounds (see `Retention`).
struct RetentionKeeper: Sendable {
  let editor: HistoryEditor
  let room: RoomRequest

  private var bounds: Retention { editor.settings.retention }
  private var removal: HistoryRemoval { HistoryRemoval(editor: editor) }

  /// Removes what is over the bounds. Returns true if anything was removed.
  func keepWithinBounds() throws(StoreError) -> Bool {
    if let needed = room.needed {
      do throws(StoreError) {
        try removeOldest(toFit: needed)
        didMakeRoom(failure: nil)
      } catch {
        didMakeRoom(failure: error)
        throw error
      }
      return true
    }
    return try isTimeToExpire ? removeExpired() : false
  }

  /// Ends the request for room, and has the writer go on.
  func didMakeRoom(failure: StoreError?) {
    room.end(failure: failure)
    editor.writer.wake()
  }

  /// Removes the oldest sequences until the history, with the history to be added, is within its
  /// bounds.
  private func removeOldest(toFit added: HistorySize) throws(StoreError) {
    try editor.sections.enterHistory { () throws(StoreError) in
      var sequences = try finishedSequences()
      sequences.sort { $0.order < $1.order }
      var size = editor.history.size
      var leaving = 0
      while leaving < sequences.count && !(size + added).fits(bounds, slack: false) {
        size = size - sequences[leaving].size
        leaving += 1
      }
      guard leaving > 0 else { return }
      let last = sequences[leaving - 1].order
      try removal.remove { $0.order <= last }
      editor.activity.note { $0.sequencesRemoved += leaving }
      try editor.releaseFreePages()
    }
  }

  /// All finished sequences, sealed or not.
  private func finishedSequences() throws(StoreError) -> [FinishedSequence] {
    var sequences = editor.history.finishedSequences
    let view = try editor.stored.view()
    for segment in view.segments {
      for entry in try view.sequenceTable(of: segment) {
        sequences.append(
          FinishedSequence(
            order: entry.order, tokens: entry.tokens, leadInTokens: entry.leadInTokens,
            committedSeconds: entry.committedSeconds))
      }
    }
    return sequences
  }

  // MARK: Age

  /// The interval between checks of age: several within the eighth by which a bound may be passed.
  var timeBetweenExpiries: Duration? {
    bounds.ageSeconds.map { .seconds(min(60, max(1, Double($0) / 32))) }
  }

  /// True if some sequence exceeds its age by enough to be worth the work: sequences leave in
  /// groups, because a segment that keeps some of its sequences is rewritten.
  private var isTimeToExpire: Bool {
    guard let bound = bounds.ageSeconds else { return false }
    return oldestAge > bound + bound / 32
  }

  /// An upper bound of the age of the oldest sequence, in seconds; 0 if there is none. No sequence
  /// is older. All may be younger, because only the earliest stamp of a segment is known here.
  private var oldestAge: Int {
    let now = editor.options.clock.now()
    let ages = editor.stored.ages
    var oldest = 0
    func note(_ order: UInt64, _ seconds: UInt64) {
      oldest = max(oldest, ages.age(order: order, committed: seconds, at: now))
    }
    // Before the segments: what is sealed in between is in both.
    for sequence in editor.history.finishedSequences {
      note(sequence.order, sequence.committedSeconds)
    }
    for record in editor.stored.segmentRecords {
      note(record.orders.lowerBound, record.seconds.lowerBound)
      note(record.orders.upperBound, record.seconds.lowerBound)
    }
    return oldest
  }

  private func removeExpired() throws(StoreError) -> Bool {
    guard let bound = bounds.ageSeconds else { return false }
    return try editor.sections.enterHistory { () throws(StoreError) in
      // Read after the writer has read the clock, as it does before each change.
      var known: CommitAges?
      let now = editor.options.clock.now()
      let removed = try removal.remove { entry in
        let ages = known ?? editor.stored.ages
        known = ages
        return ages.age(order: entry.order, committed: entry.committedSeconds, at: now) > bound
      }
      if removed.sequences == 0 { return false }
      editor.activity.note { $0.sequencesRemoved += removed.sequences }
      try editor.releaseFreePages()
      return true
    }
  }
}
