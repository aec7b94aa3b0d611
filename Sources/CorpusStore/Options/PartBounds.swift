import HistoryEngine
import RepriseModel

/// The sizes after which a growing part is full, and the next one is begun.
struct PartBounds: Sendable {
  private let options: StoreOptions
  private let retention: Retention

  init(_ options: StoreOptions, _ retention: Retention) {
    self.options = options
    self.retention = retention
  }

  /// At most an eighth of a bound of the history, and few enough that all parts of one corpus take at
  /// most a quarter of the memory, whose limit may become lower while the store is open.
  var tokens: Int {
    let parts = options.sealsWaitingMax + 2
    let fitting = options.memory.bytes(sixteenths: 4) / (parts * GrowingPart.bytesPerToken)
    return min(
      options.sealTokens, max(16, fitting), retention.tokens.map { max(16, $0 / 8) } ?? .max)
  }

  var sequences: Int { retention.sequences.map { max(1, $0 / 8) } ?? .max }
}
