import Foundation
import RepriseModel

/// Keeps the history within the configured bounds (see `Retention`).
extension Corpus {
  /// Removes what is over the bounds. Returns true if anything was removed.
  func keepWithinBounds() throws(StoreError) -> Bool {
    if let needed = roomNeeded {
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

  /// Removes the oldest sequences until the history, with the history to be added, is within its
  /// bounds.
  private func removeOldest(toFit added: HistorySize) throws(StoreError) {
    try sections.enterHistory { () throws(StoreError) in
      var sequences = try sizes()
      sequences.sort { $0.order < $1.order }
      var size = size
      var leaving = 0
      while leaving < sequences.count && !(size + added).fits(settings.retention, slack: false) {
        size = size - HistorySize(tokens: sequences[leaving].tokens, sequences: 1)
        leaving += 1
      }
      guard leaving > 0 else { return }
      let last = sequences[leaving - 1].order
      try remove { $0.order <= last }
      activity.note { $0.sequencesRemoved += leaving }
      try releaseFreePages()
    }
  }

  /// The sizes of all finished sequences.
  private func sizes() throws(StoreError) -> [FinishedSequence] {
    var sequences = finishedInMemory()
    guard let view = view else { throw .closed(corpus: name) }
    for segment in view.segments {
      for entry in try segment.sequenceTable(file, view.transaction) {
        sequences.append(
          FinishedSequence(
            order: entry.order, tokens: entry.tokens, committedSeconds: entry.committedSeconds))
      }
    }
    return sequences
  }

  // MARK: Age

  /// The interval between checks of age: several within the eighth by which a bound may be passed.
  var timeBetweenExpiries: Duration? {
    settings.retention.ageSeconds.map { .seconds(min(60, max(1, Double($0) / 32))) }
  }

  /// True if some sequence exceeds its age by enough to be worth the work: sequences leave in
  /// groups, because a segment that keeps some of its sequences is rewritten.
  private var isTimeToExpire: Bool {
    guard let bound = settings.retention.ageSeconds else { return false }
    return oldestAge > bound + bound / 32
  }

  private func removeExpired() throws(StoreError) -> Bool {
    guard let bound = settings.retention.ageSeconds else { return false }
    return try sections.enterHistory { () throws(StoreError) in
      // Read after the writer has read the clock, as it does before each change.
      var known: CommitAges?
      let now = options.clock.now()
      let removed = try remove { entry in
        let ages = known ?? ages
        known = ages
        return ages.age(order: entry.order, committed: entry.committedSeconds, at: now) > bound
      }
      if removed.size.sequences == 0 { return false }
      activity.note { $0.sequencesRemoved += removed.size.sequences }
      try releaseFreePages()
      return true
    }
  }
}
