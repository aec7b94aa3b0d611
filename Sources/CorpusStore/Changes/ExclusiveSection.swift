import Concurrency
import StoreErrors

/// An exclusive section of a corpus: the right to change one kind of thing, for one thread at a
/// time, for any length of time.
///
/// A corpus has a section for its parts (sealing), one for its segments (merging) and one for
/// copies of its file (snapshots). Removing sequences needs several; they are entered in the order
/// in which `ExclusiveSections` lists them.
final class ExclusiveSection: Sendable {
  private struct State {
    var isTaken = false
    var urgentlyWanted = 0
  }

  private let state = Locked(State())
  private let rank: LockRank

  init(_ rank: LockRank) {
    self.rank = rank
  }

  /// True if a thread that entered `urgently` waits. Long work that can be repeated then ends early.
  var isWantedUrgently: Bool { state.withLock { $0.urgentlyWanted > 0 } }

  /// Waits for the section, and holds it while `body` runs.
  ///
  /// - Parameter rank: The rank in this use, where it differs from the section's own.
  func enter<Result>(
    urgently: Bool = false, as rank: LockRank? = nil, _ body: () throws(StoreError) -> Result
  ) throws(StoreError) -> Result {
    let rank = rank ?? self.rank
    // Before it waits: two threads that enter in different orders may wait for each other for ever.
    assert(HeldRanks.add(rank))
    if urgently { state.withLock { $0.urgentlyWanted += 1 } }
    state.wait { (state) -> Wait<Void> in
      if state.isTaken { return .sleep() }
      state.isTaken = true
      if urgently { state.urgentlyWanted -= 1 }
      return .done(())
    }
    defer {
      assert(HeldRanks.remove(rank))
      state.wakeAll(after: { $0.isTaken = false })
    }
    return try body()
  }

  /// Holds the section while `body` runs, unless another thread holds it.
  func enterIfFree(_ body: () -> Void) {
    let isFree = state.withLock { state in
      defer { state.isTaken = true }
      return !state.isTaken
    }
    if !isFree { return }
    assert(HeldRanks.add(rank))
    defer {
      assert(HeldRanks.remove(rank))
      state.wakeAll(after: { $0.isTaken = false })
    }
    body()
  }
}

/// The exclusive sections of a corpus, in the order in which a thread enters several.
struct ExclusiveSections {
  let copies = ExclusiveSection(.copies)
  let segments = ExclusiveSection(.segments)
  let parts = ExclusiveSection(.parts)

  /// Enters the sections of segments and parts: only inserts and sessions change the history then.
  func enterHistory<Result>(
    _ body: () throws(StoreError) -> Result
  ) throws(StoreError) -> Result {
    try segments.enter(urgently: true) { () throws(StoreError) in try parts.enter(body) }
  }

  func enterAll<Result>(
    _ body: () throws(StoreError) -> Result
  ) throws(StoreError) -> Result {
    try copies.enter { () throws(StoreError) in try enterHistory(body) }
  }
}
