import RepriseModel

/// The data in memory on a finished sequence that is not sealed yet.
package struct FinishedSequence: Equatable, Sendable {
  package var order: UInt64
  /// All tokens, the lead-in included.
  package var tokens: Int
  /// Tokens of the lead-in.
  package var leadInTokens: Int
  package var committedSeconds: UInt64

  package var size: HistorySize {
    HistorySize(tokens: tokens, leadInTokens: leadInTokens, sequences: 1)
  }

  package init(order: UInt64, tokens: Int, leadInTokens: Int = 0, committedSeconds: UInt64) {
    self.order = order
    self.tokens = tokens
    self.leadInTokens = leadInTokens
    self.committedSeconds = committedSeconds
  }
}
