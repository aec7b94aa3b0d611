/// The newest outputs of a group, oldest first, each with its lead-in.
///
/// A group is named by callers: the samples of one prompt, the epochs of one task. Its outputs are
/// a history of their own, between that of a session and that of the corpus, for sessions that name
/// the group.
public struct OutputGroup: Equatable, Sendable {
  public var name: String
  public var outputs: [[Int32]]

  /// The number of outputs that a group keeps.
  public static let outputsMax = 16
  /// The number of tokens that a session drafts from, so that opening takes a few milliseconds:
  /// older outputs are left out.
  public static let tokensMax = 65_536

  public init(name: String, outputs: [[Int32]] = []) {
    self.name = name
    self.outputs = outputs
  }

  public var tokenCount: Int { outputs.reduce(0) { $0 + $1.count } }
}
