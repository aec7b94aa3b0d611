import Foundation

/// The right to change one kind of thing, for one thread at a time, for as long as it takes.
///
/// A corpus has a turn for its parts (sealing), one for its segments (merging) and one for copies of
/// its file (snapshots). Whoever removes sequences takes several, in the order in which `Turns` lists
/// them.
final class Turn: @unchecked Sendable {
  // @unchecked Sendable: the counter is guarded by `state`.
  private let lock = NSLock()
  private let state = AdaptiveLock()
  private var urgentlyWanted = 0

  /// Whether somebody waits who should not have to: long work that can be done again gives way.
  var isWantedUrgently: Bool { state.withLock { urgentlyWanted > 0 } }

  /// Waits for the turn, and holds it while `body` runs.
  func take<Result>(
    urgently: Bool = false, _ body: () throws(StoreError) -> Result
  ) throws(StoreError) -> Result {
    if urgently { state.withLock { urgentlyWanted += 1 } }
    lock.lock()
    if urgently { state.withLock { urgentlyWanted -= 1 } }
    defer { lock.unlock() }
    return try body()
  }
}

struct Turns {
  let copies = Turn()
  let segments = Turn()
  let parts = Turn()

  /// Takes those of segments and parts: nothing but inserts and sessions changes the history then.
  func takeHistory<Result>(
    _ body: () throws(StoreError) -> Result
  ) throws(StoreError) -> Result {
    try segments.take(urgently: true) { () throws(StoreError) in try parts.take(body) }
  }

  func takeAll<Result>(
    _ body: () throws(StoreError) -> Result
  ) throws(StoreError) -> Result {
    try copies.take { () throws(StoreError) in try takeHistory(body) }
  }
}
