import Concurrency
import CorpusFormat
import HistoryEngine
import RepriseModel
import StoreErrors

/// Turns growing parts whose sequences are all finished into segments.
struct Sealer: Sendable {
  let editor: HistoryEditor
  let bounds: PartBounds

  /// Seals one part, or moves sessions out of one so that it can be sealed. Returns true if there was
  /// anything to do.
  func sealOnePart() throws(StoreError) -> Bool {
    try editor.sections.parts.enter { () throws(StoreError) in
      switch editor.history.nextSealing(tokensMax: bounds.tokens) {
      case .nothing: return false
      case .move(let sessions):
        // A session that is being closed stays where it is, and reports when it has left.
        var moved = false
        for session in sessions where session.moveToCurrentPart() { moved = true }
        return moved
      case .seal(let part, let finished, let size):
        // Acknowledged sequences that are not in the log yet are saved first.
        try editor.writer.waitForJobs()
        try seal(part, finished, size)
        return true
      }
    }
  }

  /// Seals a part whose sequences are all finished.
  private func seal(
    _ part: GrowingPart.ID, _ finished: [FinishedSequence], _ size: HistorySize
  ) throws(StoreError) {
    let finished = finished.sorted { $0.order < $1.order }
    try editor.change(.sealing) { (change) throws(StoreError) in
      if !finished.isEmpty {
        try change.add(build(finished, size: size), isCancelled: editor.isCancelled)
        change.records.unlogged = finished.map(\.order)
      }
      try change.carryOut(retiring: part)
    }
    editor.activity.note { activity in
      activity.sealings += 1
      activity.sealedTokens += size.tokens
    }
  }

  /// Builds a segment from sequences of the log.
  private func build(
    _ finished: [FinishedSequence], size: HistorySize
  ) throws(StoreError) -> BuiltSegment {
    let bytes = SegmentBuilder.bytesPerToken * (size.tokens + size.sequences)
    // Waiting for memory would keep more of it in growing indexes, so sealing never waits.
    guard let reservation = editor.options.memory.reserve(bytes, for: .sealing, isUrgent: true)
    else { throw .memoryShort(bytes: bytes) }
    var builder = SegmentBuilder(depth: editor.settings.depth, expected: size)
    let file = editor.file
    let transaction = try file.beginReading()
    for sequence in finished {
      try editor.cancellation.check()
      let record = try file.loggedSequence(sequence.order, transaction)
      builder.append(record.tokens.span, record.entry(order: sequence.order))
    }
    _ = consume transaction
    return try builder.build(reservation, isCancelled: editor.isCancelled)
  }
}
