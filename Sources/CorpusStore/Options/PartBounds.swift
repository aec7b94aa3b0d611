import HistoryEngine
import RepriseModel

/// The sizes after which a growing part is full, and the next one is begun.
struct PartBounds: Sendable {
  /// At most an eighth of a bound of the history, and few enough that all parts of one corpus take at
  /// most a quarter of the memory.
  let tokens: Int
  let sequences: Int

  init(_ options: StoreOptions, _ retention: Retention) {
    let parts = options.sealsWaitingMax + 2
    let fitting = options.memory.bytes(sixteenths: 4) / (parts * GrowingPart.bytesPerToken)
    tokens = min(
      options.sealTokens, max(16, fitting), retention.tokens.map { max(16, $0 / 8) } ?? .max)
    sequences = retention.sequences.map { max(1, $0 / 8) } ?? .max
  }
}
