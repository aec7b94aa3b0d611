/// A finished sequence, as a corpus keeps it.
public struct KeptSequence: Equatable, Sendable {
  public let order: UInt64
  public let id: String?
  /// The end of the prompt that was kept.
  public let leadIn: [Int32]
  public let output: [Int32]

  public init(order: UInt64, id: String?, leadIn: [Int32], output: [Int32]) {
    self.order = order
    self.id = id
    self.leadIn = leadIn
    self.output = output
  }

  /// All tokens, as drafts see them.
  public var text: [Int32] { leadIn + output }
}
