import Foundation

/// An exclusive section of a corpus: the right to change one kind of thing, for one thread at a
/// time, for any length of time.
///
/// A corpus has a section for its parts (sealing), one for its segments (merging) and one for
/// copies of its file (snapshots). Removing sequences needs several; they are entered in the order
/// in which `Turns` lists them.
final class Turn: @unchecked Sendable {
  // @unchecked Sendable: the counter is guarded by `state`.
  private let lock = NSLock()
  private let state = AdaptiveLock()
  private var urgentlyWanted = 0

  /// True if a thread waits that should not have to: long work that can be repeated gives way.
  var isWantedUrgently: Bool { state.withLock { urgentlyWanted > 0 } }

  /// Waits for the section, and holds it while `body` runs.
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

  /// Enters the sections of segments and parts: only inserts and sessions change the history then.
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
