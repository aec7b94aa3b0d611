/// An amount of history.
package struct HistorySize: Equatable, Sendable {
  /// All tokens, lead-ins included.
  package var tokens: Int
  /// Tokens of lead-ins.
  package var leadInTokens: Int
  package var sequences: Int

  package init(tokens: Int = 0, leadInTokens: Int = 0, sequences: Int = 0) {
    self.tokens = tokens
    self.leadInTokens = leadInTokens
    self.sequences = sequences
  }

  package static func + (one: HistorySize, other: HistorySize) -> HistorySize {
    HistorySize(
      tokens: one.tokens + other.tokens, leadInTokens: one.leadInTokens + other.leadInTokens,
      sequences: one.sequences + other.sequences)
  }

  package static func - (one: HistorySize, other: HistorySize) -> HistorySize {
    HistorySize(
      tokens: one.tokens - other.tokens, leadInTokens: one.leadInTokens - other.leadInTokens,
      sequences: one.sequences - other.sequences)
  }

  package static func += (one: inout HistorySize, other: HistorySize) { one = one + other }

  /// True if a history of this size is within the bounds; with slack, true if it exceeds them by at
  /// most one eighth.
  package func fits(_ retention: Retention, slack: Bool) -> Bool {
    func fits(_ size: Int, _ bound: Int?) -> Bool {
      guard let bound else { return true }
      return size <= (slack ? bound + bound / 8 : bound)
    }
    return fits(tokens, retention.tokens) && fits(sequences, retention.sequences)
  }
}
