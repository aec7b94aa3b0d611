/// The settings that a corpus is created with and keeps for life.
public struct CorpusSettings: Equatable, Sendable {
  /// The length of the longest pattern whose count is kept, in tokens: match and draft together. In
  /// `Depth.range`.
  public var depth: Int
  /// The name or digest of the tokenizer that the token ids belong to; 1 to `tokenizerBytesMax` bytes.
  /// Calls that name another tokenizer are refused.
  public var tokenizer: String?
  public var retention: Retention
  public var durability: Durability
  /// The bound of token ids, in `Vocabulary.range`: sequences and outputs with other tokens are refused,
  /// and drafts have none. There is no bound where it is nil.
  public var vocabulary: Int?
  /// The number of prompt tokens that are kept before each output, in `LeadIn.range`.
  public var leadIn: Int
  /// The token ids with which outputs end: nothing after the first of them is kept of an output, or
  /// drafted.
  public var endIDs: EndIDs

  public init(
    depth: Int = Depth.standard, tokenizer: String? = nil, retention: Retention = Retention(),
    durability: Durability = .commit, vocabulary: Int? = nil, leadIn: Int = LeadIn.standard,
    endIDs: EndIDs = EndIDs()
  ) {
    self.depth = depth
    self.tokenizer = tokenizer
    self.retention = retention
    self.durability = durability
    self.vocabulary = vocabulary
    self.leadIn = leadIn
    self.endIDs = endIDs
  }

  /// The most bytes of UTF-8 that a tokenizer's name may have.
  public static let tokenizerBytesMax = 256

  /// The bound of token ids; the largest one where there is none.
  @inlinable public var tokenBound: Int32 { vocabulary.map { Int32(clamping: $0) } ?? .max }

  /// The first setting that no corpus can have, in a sentence; nil where there is none.
  public var problem: String? {
    if !Depth.range.contains(depth) {
      return "depth is \(depth), expected \(Depth.range.lowerBound) to \(Depth.range.upperBound)"
    }
    if let tokenizer, !(1...Self.tokenizerBytesMax).contains(tokenizer.utf8.count) {
      return "the tokenizer's name has \(tokenizer.utf8.count) bytes, expected 1 to "
        + "\(Self.tokenizerBytesMax)"
    }
    for (name, bound, range) in [
      ("the bound of tokens", retention.tokens, Retention.tokensRange),
      ("the bound of sequences", retention.sequences, Retention.sequencesRange),
      ("the bound of age in seconds", retention.ageSeconds, Retention.ageSecondsRange),
    ] {
      if let bound, !range.contains(bound) {
        return "\(name) is \(bound), expected \(range.lowerBound) to \(range.upperBound)"
      }
    }
    if let vocabulary, !Vocabulary.range.contains(vocabulary) {
      return "vocabulary is \(vocabulary), expected \(Vocabulary.range.lowerBound) to "
        + "\(Vocabulary.range.upperBound)"
    }
    if let last = endIDs.list.last, last >= tokenBound {
      return "end_ids has \(last), expected ids below the vocabulary, which is \(tokenBound)"
    }
    if !LeadIn.range.contains(leadIn) {
      return "lead_in is \(leadIn), expected \(LeadIn.range.lowerBound) to "
        + "\(LeadIn.range.upperBound)"
    }
    if case .interval(let millis) = durability, !Durability.millisRange.contains(millis) {
      return "the durability's window is \(millis) ms, expected "
        + "\(Durability.millisRange.lowerBound) to \(Durability.millisRange.upperBound)"
    }
    return nil
  }
}
