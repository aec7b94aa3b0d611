import RepriseModel

/// The text of one session, and the answers that it must get.
package struct ExpectedSession {
  package let share: SharePolicy
  package let prompt: [Int32]
  package private(set) var output: [Int32] = []
  private var local: NGramOracle

  package init(prompt: [Int32], share: SharePolicy, depth: Int) {
    self.prompt = prompt
    self.share = share
    local = NGramOracle(depth: depth, sequences: [prompt])
  }

  package var context: [Int32] { prompt + output }

  /// Adds tokens to the output, and to the shared history if the session shares live.
  package mutating func accept(_ tokens: [Int32], sharing shared: inout NGramOracle) {
    local.remove(context)
    if share == .live { shared.remove(output) }
    output += tokens
    local.add(context)
    if share == .live { shared.add(output) }
  }

  /// The draft of its next tokens.
  package func draft(_ options: DraftOptions, shared: NGramOracle) -> NaiveDraft {
    NaiveDraft(options, local: local, shared: shared, context: context)
  }
}

extension NaiveDraft {
  /// The draft by the options' policy.
  package init(
    _ options: DraftOptions, local: NGramOracle? = nil, shared: NGramOracle, context: [Int32]
  ) {
    switch options.policy {
    case .suffixDecoding:
      self = NaiveDrafter(options).draft(local: local, shared: shared, context: context)
    case .estimate:
      let own = local.map { [NaiveEstimate.History.local($0)] } ?? []
      self = NaiveEstimate(options).draft(from: own + [.shared(shared)], context: context)
    }
  }
}

extension DraftOptions {
  /// Options of a request, drawn at random.
  package static func random(using generator: inout SeededGenerator) -> DraftOptions {
    let tree = Bool.random(using: &generator)
    return DraftOptions(
      policy: DraftPolicy.allCases.randomElement(using: &generator)!,
      maxTokens: [1, 4, 16].randomElement(using: &generator)!,
      maxFactor: [0.5, 1, 3].randomElement(using: &generator)!,
      minProbability: [0, 0.1, 0.4].randomElement(using: &generator)!, tree: tree)
  }
}
