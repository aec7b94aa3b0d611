import RepriseModel

/// An amount of history.
struct HistorySize: Equatable {
  var tokens = 0
  var sequences = 0

  static func + (one: HistorySize, other: HistorySize) -> HistorySize {
    HistorySize(tokens: one.tokens + other.tokens, sequences: one.sequences + other.sequences)
  }

  static func - (one: HistorySize, other: HistorySize) -> HistorySize {
    HistorySize(tokens: one.tokens - other.tokens, sequences: one.sequences - other.sequences)
  }

  static func += (one: inout HistorySize, other: HistorySize) { one = one + other }

  /// True if a history of this size is within the bounds; with slack, true if it exceeds them by at
  /// most one eighth.
  func fits(_ retention: Retention, slack: Bool) -> Bool {
    func fits(_ size: Int, _ bound: Int?) -> Bool {
      guard let bound else { return true }
      return size <= (slack ? bound + bound / 8 : bound)
    }
    return fits(tokens, retention.tokens) && fits(sequences, retention.sequences)
  }
}
