/// A sequence that is to be kept.
public struct NewSequence: Equatable, Sendable {
  /// The caller's name for it, of 1 to `idBytesMax` bytes: inserting it again is no error and changes
  /// nothing.
  public var id: String?
  /// The group that it belongs to, of 1 to `idBytesMax` bytes; nil for none.
  public var group: String?
  /// The prompt that the tokens answer, or its end. Of it, the corpus keeps the lead-in that its settings
  /// ask for, and nothing else.
  public var prompt: [Int32]
  /// Token ids, 0 ..< 2^31 − 1, at least one.
  public var tokens: [Int32]

  public static let idBytesMax = 256

  public init(
    id: String? = nil, group: String? = nil, prompt: [Int32] = [], tokens: [Int32]
  ) {
    self.id = id
    self.group = group
    self.prompt = prompt
    self.tokens = tokens
  }
}
