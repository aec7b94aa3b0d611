import HistoryEngine

/// Frees memory if it is short: a segment is in the file and takes none.
struct MemoryRelief {
  let memory: MemoryBudget

  /// Smaller parts are not sealed: many small segments make drafts slow.
  private static let partBytesWorthSealing = 1 << 20

  /// Ends the largest growing parts, although they are not full, so that they are sealed.
  func endParts(of corpora: [Corpus]) {
    var excess = memory.excess
    if excess <= 0 { return }
    let parts = corpora.filter { !$0.isReadOnly }.map { ($0, $0.history.newestPart.bytes) }
      .sorted { $0.1 > $1.1 }
    for (corpus, bytes) in parts where excess > 0 && bytes >= Self.partBytesWorthSealing {
      corpus.writer.write(PartEndJob())
      excess -= bytes
    }
  }
}
