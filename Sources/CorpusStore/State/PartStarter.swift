import HistoryEngine
import RepriseModel

/// Begins growing parts. Used on the writer thread, which adds the sequences.
struct PartStarter: Sendable {
  let history: SharedHistory
  let bounds: PartBounds

  func beginIfFull() {
    let part = history.newestPart
    if part.tokens >= bounds.tokens || part.finished.sequences >= bounds.sequences { begin() }
  }

  func begin(evenIfEmpty: Bool = true) {
    if !evenIfEmpty && history.newestPart.tokens == 0 { return }
    // Created outside of the lock: its memory is cleared, which takes a millisecond.
    history.begin(GrowingPart(depth: history.depth, tokensExpected: bounds.tokens))
  }
}
