/// The data in memory on a finished sequence that is not sealed yet.
package struct FinishedSequence: Equatable, Sendable {
  package var order: UInt64
  package var tokens: Int
  package var committedSeconds: UInt64

  package init(order: UInt64, tokens: Int, committedSeconds: UInt64) {
    self.order = order
    self.tokens = tokens
    self.committedSeconds = committedSeconds
  }
}
