import Foundation

/// History is kept within the bounds that were set (see `Retention`).
extension Corpus {
  /// Removes what is over the bounds, if anything is. Returns whether something was.
  ///
  /// - Parameter now: Seconds since 1970; nil for what the clock tells.
  func keepWithinBounds(at now: UInt64? = nil) throws(StoreError) -> Bool {
    let now = now ?? options.clock.wallSeconds()
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
    return try isTimeToExpire(at: now) ? removeExpired(at: now) : false
  }

  /// Removes the oldest sequences until the history, with what is to be added, is within its bounds.
  private func removeOldest(toFit added: HistorySize) throws(StoreError) {
    try turns.takeHistory { () throws(StoreError) in
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

  /// Every finished sequence.
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

  /// How often age is looked at: some times in the eighth by which it may be passed.
  var timeBetweenExpiries: Duration? {
    settings.retention.ageSeconds.map { .seconds(min(60, max(1, Double($0) / 32))) }
  }

  /// Whether some sequence is too old by so much that it is worth while: sequences leave some
  /// together, because a segment that keeps some of its own is written anew.
  private func isTimeToExpire(at now: UInt64) -> Bool {
    guard let age = settings.retention.ageSeconds, let oldest = oldestSeconds else { return false }
    return now > oldest + UInt64(age) + UInt64(age) / 32
  }

  private func removeExpired(at now: UInt64) throws(StoreError) -> Bool {
    guard let age = settings.retention.ageSeconds else { return false }
    return try turns.takeHistory { () throws(StoreError) in
      let removed = try remove { $0.committedSeconds + UInt64(age) < now }
      if removed.size.sequences == 0 { return false }
      activity.note { $0.sequencesRemoved += removed.size.sequences }
      try releaseFreePages()
      return true
    }
  }
}
