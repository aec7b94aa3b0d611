import Glibc
import Synchronization

/// Points at which the crash tests end the process, as a power failure would: when REPRISE_CRASH_AT
/// is "NAME:N", the N-th time that the point NAME is reached. With REPRISE_HOLD_AT the thread stops
/// there forever, as it would on a disk that does not answer. Debug builds have these points, and
/// builds with -DREPRISE_CRASH_POINTS; ordinary release builds have none.
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

  #if DEBUG || REPRISE_CRASH_POINTS
    /// A point, and the number of times that it must still be reached.
    private final class Wanted: Sendable {
      let point: CrashPoint
      private let left: Atomic<Int>

      init(_ point: CrashPoint, times: Int) {
        self.point = point
        left = Atomic(times)
      }

      /// Counts down. True at the last time.
      func isLast() -> Bool { left.subtract(1, ordering: .relaxed).newValue == 0 }
    }

    private static let wanted = read("REPRISE_CRASH_AT")
    private static let held = read("REPRISE_HOLD_AT")

    /// The point that the environment names.
    private static func read(_ variable: String) -> Wanted? {
      guard let text = unsafe getenv(variable) else { return nil }
      let words = unsafe String(cString: text).split(separator: ":")
      guard words.count == 2, let point = CrashPoint(rawValue: String(words[0])),
        let count = Int(words[1])
      else { fatalError("\(variable) is not NAME:N with a known name") }
      return Wanted(point, times: count)
    }

    package func reached() {
      if let held = Self.held, held.point == self, held.isLast() {
        let line = [UInt8]("held at \(rawValue)\n".utf8)
        _ = unsafe line.withUnsafeBytes { unsafe write(STDERR_FILENO, $0.baseAddress, $0.count) }
        while true { pause() }
      }
      guard let wanted = Self.wanted, wanted.point == self, wanted.isLast() else { return }
      kill(getpid(), SIGKILL)
    }
  #else
    package func reached() {}
  #endif
}
