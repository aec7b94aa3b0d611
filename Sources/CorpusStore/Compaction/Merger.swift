import Concurrency
import CorpusFormat
import RepriseModel
import StoreErrors

/// Turns several segments into one.
struct Merger: Sendable {
  let editor: HistoryEditor
  let progress: CompactionProgress

  var policy: MergePolicy {
    MergePolicy(editor.options, editor.settings.retention, bytesScale: progress.mergeBytesScale)
  }

  /// Merges segments once. Returns true if there was anything to do.
  func mergeOnce() throws(StoreError) -> Bool {
    let section = editor.sections.segments
    do throws(StoreError) {
      return try section.enter { () throws(StoreError) in
        // Another thread waits for the exclusive section and should not have to wait for a merge.
        if section.isWantedUrgently { return false }
        guard try mergeChosen() else { return false }
        try editor.releaseFreePages()
        return true
      }
    } catch {
      switch error {
      // The merge is tried again when the thread that cancelled it is done.
      case .cancelled: return false
      case .memoryShort(let bytes):
        noteNeeded(bytes)
        return false
      default: throw error
      }
    }
  }

  /// Notes that a merge was abandoned because it turned out to take more memory than there is: the text
  /// branches in more places than was estimated.
  func noteNeeded(_ bytes: Int) {
    progress.raiseMergeBytesScale()
    postpone(segments: 0, bytes: bytes)
  }

  /// Notes that merging waits until there is memory for it.
  private func postpone(segments: Int, bytes: Int) {
    progress.noteMerging(.waiting(segments: segments, bytes: bytes))
    editor.activity.note { $0.mergesDeferred += 1 }
  }

  /// Merges the segments that the policy chooses. Releases the view that it reads before it
  /// returns.
  private func mergeChosen() throws(StoreError) -> Bool {
    guard let view = try? editor.stored.view() else { return false }
    let memory = editor.options.memory
    let choice = policy.choose(view.segments.map(\.candidate)) { memory.fits($0, for: .merging) }
    switch choice {
    case .none:
      progress.noteMerging(.done)
      return false
    case .wait(let run):
      postpone(segments: run.numbers.count, bytes: run.bytes)
      return false
    case .merge(let run):
      guard let reservation = memory.reserve(run.bytes, for: .merging) else {
        postpone(segments: run.numbers.count, bytes: run.bytes)
        return false
      }
      progress.noteMerging(.possible)
      let numbers = Set(run.numbers)
      do throws(StoreError) {
        try merge(view.segments.filter { numbers.contains($0.number) }, of: view, reservation)
      } catch {
        guard case .cancelled = error, reservation.mustYield else { throw error }
        postpone(segments: run.numbers.count, bytes: run.bytes)
        return false
      }
      return true
    }
  }

  private func merge(
    _ segments: [Segment], of view: SegmentView, _ reservation: MemoryBudget.Reservation
  ) throws(StoreError) {
    var expected = HistorySize()
    for segment in segments { expected += segment.size }
    let isCancelled = { [cancellation = editor.cancellation, section = editor.sections.segments] in
      cancellation.isCancelled || section.isWantedUrgently || reservation.mustYield
    }
    var builder = SegmentBuilder(
      depth: editor.settings.depth, expected: expected,
      tableBytes: segments.reduce(0) { $0 + $1.record.tableBytes })
    for segment in segments {
      if isCancelled() { throw .cancelled }
      try editor.forEachSequence(of: segment, in: view) { entry, tokens in
        builder.append(tokens, entry)
        reservation.advance(taken: builder.bytes)
      }
    }
    let built = try builder.build(reservation, isCancelled: isCancelled)
    try editor.change(.merging) { (change) throws(StoreError) in
      try change.add(built, isCancelled: isCancelled)
      change.records.dropped = segments.map(view.chunks)
      try change.carryOut()
    }
    editor.activity.note { activity in
      activity.merges += 1
      activity.mergedTokens += expected.tokens
    }
  }
}
