import Concurrency
import StoreErrors

/// All work on one corpus outside of the request path: sealing, merging, removing what is over the
/// bounds, repairing.
struct CorpusCompaction: Sendable {
  let sealer: Sealer
  let merger: Merger
  let retention: RetentionKeeper
  let replacement: HistoryReplacement
  let progress: CompactionProgress
  let writer: Writer
  let cancellation: Cancellation

  /// Seals or merges once. Returns true if there was anything to do.
  ///
  /// Each kind is called by one thread at a time: the compactor's, or a test's.
  func compactOnce(_ kind: Compaction) throws(StoreError) -> Bool {
    // Jobs may have waited for it.
    defer { writer.wake() }
    do throws(StoreError) {
      let did =
        switch kind {
        case .sealing: try retention.keepWithinBounds() ? true : sealer.sealOnePart()
        case .merging: try merger.mergeOnce()
        }
      progress.note(kind, failed: false)
      return did
    } catch {
      progress.note(kind, failed: true)
      throw error
    }
  }

  /// The time since when merging waits for memory, and the reason; nil if it does not wait.
  var mergingWait: (since: ContinuousClock.Instant, sentence: String)? {
    guard case .waiting(let segments, let bytes) = progress.merging,
      let since = progress.mergingWaitsSince
    else { return nil }
    return (
      since,
      "\(segments) segments wait to be merged until \(bytes) bytes of memory are free for it, of the "
        + "\(merger.editor.options.memory.limit) that the process may have; drafts ask more segments "
        + "meanwhile, so close sessions or allow more memory"
    )
  }

  /// The time after which a kind of compaction is to look at the corpus again without being asked; nil
  /// for never.
  func timeBeforeNextLook(_ kind: Compaction) -> Duration? {
    kind == .sealing ? retention.timeBetweenExpiries : nil
  }

  /// Reads the whole file again, and repairs damage; see `HistoryReplacement.repair`.
  func repair() throws(StoreError) { try replacement.repair() }

  /// True if long work should end.
  var isClosing: Bool { cancellation.isCancelled }
}
