import Glibc

/// Places where the crash tests end the process, as a loss of power would: in debug builds, when
/// REPRISE_CRASH_AT is "NAME:N", the N-th time that the place NAME is reached. A release build has
/// none of it.
public enum CrashPoint: String, CaseIterable, Sendable {
  case commitBefore = "commit.before"
  case commitAfter = "commit.after"
  case sealChunks = "seal.chunks"
  case sealRecord = "seal.record"
  case mergeChunks = "merge.chunks"
  case mergeRecord = "merge.record"
  case removalChunks = "removal.chunks"
  case removalRecord = "removal.record"
  case forgetOverwrite = "forget.overwrite"
  case snapshotCopying = "snapshot.copying"
  case snapshotWritten = "snapshot.written"
  case snapshotRenamed = "snapshot.renamed"
  case restoreCopied = "restore.copied"
  case restoreSwapBefore = "restore.swap.before"
  case restoreSwapAfter = "restore.swap.after"
  case corpusMergeChunks = "corpus-merge.chunks"
  case corpusMergeRecord = "corpus-merge.record"

  #if DEBUG
    /// What the environment asks for, and how often its place has still to be reached.
    private static let wanted: (point: CrashPoint, left: Counter)? = {
      guard let text = unsafe getenv("REPRISE_CRASH_AT") else { return nil }
      let words = unsafe String(cString: text).split(separator: ":")
      guard words.count == 2, let point = CrashPoint(rawValue: String(words[0])),
        let count = Int(words[1])
      else { fatalError("REPRISE_CRASH_AT is not NAME:N with a known name") }
      return (point, Counter(count))
    }()

    private final class Counter: @unchecked Sendable {
      // @unchecked Sendable: `left` is guarded by `lock`.
      private let lock = AdaptiveLock()
      private var left: Int

      init(_ left: Int) { self.left = left }

      /// Whether this was the last time.
      func countDown() -> Bool {
        lock.withLock {
          left -= 1
          return left == 0
        }
      }
    }

    func reached() {
      guard let wanted = Self.wanted, wanted.point == self, wanted.left.countDown() else { return }
      kill(getpid(), SIGKILL)
    }
  #else
    @inline(__always) func reached() {}
  #endif
}
