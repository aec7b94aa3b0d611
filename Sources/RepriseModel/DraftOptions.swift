/// The settings of one draft. The defaults are those of SuffixDecoding (arXiv 2411.04975, section
/// 4) as its published implementation sets them.
public struct DraftOptions: Equatable, Sendable {
  /// The rule by which tokens are drafted.
  public var policy: DraftPolicy

  /// The most tokens that a draft may hold, whatever the match. 0 or more; 0 asks for no draft. By
  /// `estimate` a draft holds at most 256.
  public var maxTokens: Int

  /// Tokens of budget for each token of match: a longer match earns a longer draft. 0 or more.
  /// Only for `suffixDecoding`.
  public var maxFactor: Double

  /// Tokens of budget added to `maxFactor` × match length; may be negative. Only for
  /// `suffixDecoding`.
  public var maxOffset: Double

  /// The least probability along its path that a drafted token may have. In 0...1. For `estimate`
  /// it is the one setting that decides how much is drafted: tokens are drafted that are accepted
  /// with this probability at least; below 0.001 it counts as 0.001.
  public var minProbability: Double

  /// The least length of a match that is drafted from, in tokens; in `minMatchRange`. 1 uses every
  /// match.
  public var minMatch: Int

  /// True if the draft may branch. A path follows the most frequent child only.
  public var tree: Bool

  /// The bound of drafted token ids, because an engine that looks up a token its model does not
  /// have would crash. At least 1; the default excludes nothing. `suffixDecoding` removes a token
  /// that is not below it from the draft that was found, with all that follows it; for `estimate`
  /// it is no candidate.
  public var vocabulary: Int32

  /// Nothing is drafted after one of them. They are a setting of the corpus, which requests do not
  /// give.
  public var endIDs = EndIDs()

  /// Factors and offsets beyond a million are useless; the bound keeps arithmetic finite.
  public static let maxFactorRange = 0...1e6
  public static let maxOffsetRange = -1e6...1e6
  public static let minProbabilityRange: ClosedRange<Double> = 0...1
  public static let minMatchRange = 1...Depth.range.upperBound

  public init(
    policy: DraftPolicy = .suffixDecoding, maxTokens: Int = 32, maxFactor: Double = 1,
    maxOffset: Double = 0, minProbability: Double = 0.1, minMatch: Int = 1, tree: Bool = false,
    vocabulary: Int32 = .max
  ) {
    self.policy = policy
    self.maxTokens = maxTokens
    self.maxFactor = maxFactor
    self.maxOffset = maxOffset
    self.minProbability = minProbability
    self.minMatch = minMatch
    self.tree = tree
    self.vocabulary = vocabulary
  }

  /// The most tokens that may be drafted from a match of `matchLength` tokens: min(maxTokens,
  /// ⌊matchLength · maxFactor + maxOffset⌋), never below 0.
  ///
  /// A millionth is added before rounding down, as the published implementation does, so that
  /// a factor such as 0.1 (which has no exact binary form) times 30 gives 3.
  @inlinable
  public func budget(matchLength: Int) -> Int {
    let earned = Double(matchLength) * maxFactor + maxOffset + 1e-6
    // The comparison comes first because a Double beyond Int's range must not be converted.
    if !(earned < Double(maxTokens)) { return maxTokens }
    return max(0, Int(earned))
  }
}
