import RepriseModel

/// Reads draft options; each that was not given keeps its default. `max_tokens` and the others
/// stand beside a call's own members.
struct DraftOptionsReader {
  private var maxTokens: Int?
  private var maxFactor: Double?
  private var maxOffset: Double?
  private var minProbability: Double?
  private var minMatch: Int?
  private var tree: Bool?
  private var policy: DraftPolicy?
  private var vocabulary: Int?

  /// Reads a member if it is a draft option; any other is unknown.
  mutating func read(_ name: String, _ member: Member, _ limits: Limits) throws(WireError) {
    switch name {
    case "max_tokens":
      let value = try member.integer(0...Int(Int32.max))
      if value > limits.draftTokensMax {
        throw .limit(.maxTokens, max: limits.draftTokensMax, got: value, "\(member.place)")
      }
      try member.set(&maxTokens, value)
    case "max_factor":
      try member.set(&maxFactor, member.number(DraftOptions.maxFactorRange))
    case "max_offset":
      try member.set(&maxOffset, member.number(DraftOptions.maxOffsetRange))
    case "min_probability":
      try member.set(&minProbability, member.number(DraftOptions.minProbabilityRange))
    case "min_match":
      try member.set(&minMatch, member.integer(DraftOptions.minMatchRange))
    case "tree": try member.set(&tree, member.bool())
    case "policy":
      let value = try member.string(.policyBytes, bytesMax: 64)
      guard let known = DraftPolicy(rawValue: value) else {
        let names = DraftPolicy.allCases.map { "\"\($0.rawValue)\"" }
        throw member.wrong(names.joined(separator: " or "))
      }
      try member.set(&policy, known)
    case "vocabulary": try member.set(&vocabulary, member.integer(Vocabulary.range))
    default: throw member.unknown
    }
  }

  var options: DraftOptions {
    var options = DraftOptions()
    if let policy { options.policy = policy }
    if let maxTokens { options.maxTokens = maxTokens }
    if let maxFactor { options.maxFactor = maxFactor }
    if let maxOffset { options.maxOffset = maxOffset }
    if let minProbability { options.minProbability = minProbability }
    if let minMatch { options.minMatch = minMatch }
    if let tree { options.tree = tree }
    if let vocabulary { options.vocabulary = Int32(vocabulary) }
    return options
  }
}

extension DraftOptions {
  /// Writes the options that differ from the defaults.
  func write(to writer: inout JSONWriter) {
    let defaults = DraftOptions()
    if policy != defaults.policy {
      writer.name("policy")
      writer.string(policy.rawValue)
    }
    if maxTokens != defaults.maxTokens {
      writer.name("max_tokens")
      writer.integer(maxTokens)
    }
    if maxFactor != defaults.maxFactor {
      writer.name("max_factor")
      writer.number(maxFactor)
    }
    if maxOffset != defaults.maxOffset {
      writer.name("max_offset")
      writer.number(maxOffset)
    }
    if minProbability != defaults.minProbability {
      writer.name("min_probability")
      writer.number(minProbability)
    }
    if minMatch != defaults.minMatch {
      writer.name("min_match")
      writer.integer(minMatch)
    }
    if tree != defaults.tree {
      writer.name("tree")
      writer.bool(tree)
    }
    if vocabulary != defaults.vocabulary {
      writer.name("vocabulary")
      writer.integer(vocabulary)
    }
  }
}
