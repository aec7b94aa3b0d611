import Concurrency
import CorpusFormat
import HistoryEngine
import StoreErrors

/// Replaces the history of a corpus by the content of a file, between two writes. Open sessions
/// continue: their shared output joins the new history.
struct HistoryReplacement: Sendable {
  let stored: StoredHistory
  let writer: Writer
  let sections: ExclusiveSections
  let options: StoreOptions
  let keeper: any HistoryKeeper

  /// Reads the whole file again, and repairs damage, as opening does.
  ///
  /// - Throws: The damage that could not be repaired; calls fail with it from then on.
  func repair() throws(StoreError) {
    do throws(StoreError) {
      try sections.enterAll { () throws(StoreError) in
        // Loaded while nothing is written.
        try replace(by: stored.file, nil) { () throws(StoreError) in }
      }
    } catch {
      stored.history.fail(error)
      throw error
    }
  }

  /// Replaces the history by that of another file, which takes the place of the present one.
  ///
  /// - Parameter place: Puts the new file where the old one was. Everything else that can fail happens
  ///   before.
  func replace(
    by new: CorpusFile, placing place: () throws(StoreError) -> Void
  ) throws(StoreError) {
    // Loaded before the sections are entered: sealing and merging wait for them, and loading is long.
    let loaded = Locked<LoadedCorpus?>(try LoadedCorpus(new, options))
    try sections.enterAll { () throws(StoreError) in
      // The store may have begun to close while this thread waited for the sections.
      try options.cancellation.check()
      try replace(by: new, loaded.withLock { $0.take() }, placing: place)
    }
  }

  private func replace(
    by new: CorpusFile, _ loaded: consuming sending LoadedCorpus?,
    placing place: () throws(StoreError) -> Void
  ) throws(StoreError) {
    let moving = try install(new, loaded, placing: place)
    for session in moving { _ = session.moveToCurrentPart() }
    keeper.requestSealing()
  }

  /// - Returns: The sessions whose output was in the old history.
  private func install(
    _ new: CorpusFile, _ prepared: consuming sending LoadedCorpus?,
    placing place: () throws(StoreError) -> Void
  ) throws(StoreError) -> [DecodingSession] {
    try writer.pause()
    var nextOrder: UInt64?
    defer { writer.goOn(nextOrder: nextOrder) }
    try place()
    let loaded = if let prepared { prepared } else { try LoadedCorpus(new, options) }
    nextOrder = loaded.nextOrder
    return stored.replace(by: new, loaded)
  }
}
