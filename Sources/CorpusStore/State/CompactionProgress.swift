import Concurrency
import HistoryEngine

/// The work on a corpus outside of the request path.
enum Compaction: String, CaseIterable {
  /// Growing parts become segments (a flush of a memtable), and sequences over the bounds leave.
  /// Inserts wait for it, so no other work may delay it.
  case sealing
  /// Several segments become one. A large merge takes many seconds.
  case merging
}

/// The outcome of compaction so far, which decides whether inserts wait for it.
final class CompactionProgress: Sendable {
  /// The state of the search for segments to merge.
  enum Merging: Equatable {
    case possible
    /// There is nothing to merge until the segments change.
    case done
    /// The number of segments that are merged when this amount of memory is available.
    case waiting(segments: Int, bytes: Int)
  }

  private struct State {
    /// The kinds of compaction that failed when they were last tried.
    var failed: Set<Compaction> = []
    /// The result of the last search for segments to merge.
    var merging = Merging.possible
    /// The time since when merging waits for memory.
    var mergingWaitsSince: ContinuousClock.Instant?
    /// The factor by which merging took more memory than was estimated.
    var mergeBytesScale = 1.0
  }

  private let options: StoreOptions
  private let isInBackground: Bool
  private let state = Locked(State())

  init(_ options: StoreOptions, isInBackground: Bool) {
    self.options = options
    self.isInBackground = isInBackground
  }

  /// True if inserts have to wait until more is sealed or merged: to limit memory, and because
  /// drafts look into every segment. Inserts do not wait if sealing or merging fails, lacks memory
  /// or is cancelled, because they would wait forever; then the disk refuses them, or drafts become
  /// slower.
  func isBehind(of history: SharedHistory) -> Bool {
    if !isInBackground { return false }
    let backlog = history.backlog
    let isBehind = state.withLock { state in
      backlog.parts > options.sealsWaitingMax && !state.failed.contains(.sealing)
        || backlog.segments > options.segmentsMax && !state.failed.contains(.merging)
          && state.merging == .possible
    }
    return isBehind && !options.cancellation.isCancelled
  }

  func note(_ kind: Compaction, failed: Bool) {
    state.withLock { state in
      if failed { state.failed.insert(kind) } else { state.failed.remove(kind) }
    }
  }

  var merging: Merging { state.withLock { $0.merging } }

  func noteMerging(_ merging: Merging) {
    let now = options.clock.now()
    state.withLock { state in
      state.merging = merging
      if case .waiting = merging {
        state.mergingWaitsSince = state.mergingWaitsSince ?? now
      } else {
        state.mergingWaitsSince = nil
      }
    }
  }

  /// The time since when merging waits for memory; nil if it does not.
  var mergingWaitsSince: ContinuousClock.Instant? { state.withLock { $0.mergingWaitsSince } }

  /// The factor by which merging took more memory than was estimated.
  var mergeBytesScale: Double { state.withLock { $0.mergeBytesScale } }

  func raiseMergeBytesScale() { state.withLock { $0.mergeBytesScale *= 1.5 } }
}
