import RepriseModel

/// The text of one session, and the answers that it must get.
package struct ExpectedSession {
  package let share: SharePolicy
  package let prompt: [Int32]
  private let leadIn: Int
  private let endIDs: EndIDs
  package private(set) var output: [Int32] = []
  private var local: NGramOracle
  private var group: NGramOracle?

  /// - Parameters:
  ///   - leadIn: The most tokens of a prompt that stand before its output in the shared history.
  ///   - endIDs: The output ends there with the first of them.
  ///   - group: The outputs of the session's group when it was opened.
  package init(
    prompt: [Int32], share: SharePolicy, depth: Int, leadIn: Int, endIDs: EndIDs = EndIDs(),
    group: [[Int32]] = []
  ) {
    self.prompt = prompt
    self.leadIn = leadIn
    self.endIDs = endIDs
    self.share = share
    local = NGramOracle(depth: depth, sequences: [prompt])
    if !group.isEmpty { self.group = NGramOracle(depth: depth, sequences: group) }
  }

  package var context: [Int32] { prompt + output }

  /// The text that the shared history holds of it, or will hold.
  package var sharedText: [Int32] {
    output.isEmpty ? [] : prompt.suffix(leadIn) + keptOutput
  }

  /// The output as a sequence has it.
  package var keptOutput: [Int32] { endIDs.cut(output) }

  /// Adds tokens to the output, and to the shared history if the session shares live.
  package mutating func accept(_ tokens: [Int32], sharing shared: inout NGramOracle) {
    local.remove(context)
    if share == .live { shared.remove(sharedText) }
    output += tokens
    local.add(context)
    if share == .live { shared.add(sharedText) }
  }

  /// The draft of its next tokens.
  package func draft(_ options: DraftOptions, shared: NGramOracle) -> NaiveDraft {
    var options = options
    options.endIDs = endIDs
    return NaiveDraft(options, local: local, group: group, shared: shared, context: context)
  }
}

extension EndIDs {
  /// The output up to its first end id.
  package func cut(_ output: [Int32]) -> [Int32] {
    guard let end = output.firstIndex(where: contains) else { return output }
    return Array(output[...end])
  }

  /// The end ids of a corpus, drawn at random.
  package static func random(
    below alphabet: Int32, using generator: inout SeededGenerator
  ) -> EndIDs {
    let count = [0, 0, 1, 2].randomElement(using: &generator)!
    return EndIDs(generator.tokens(count: count, alphabet: alphabet))!
  }
}

extension NaiveDraft {
  /// The draft by the options' policy.
  package init(
    _ options: DraftOptions, local: NGramOracle? = nil, group: NGramOracle? = nil,
    shared: NGramOracle, context: [Int32]
  ) {
    switch options.policy {
    case .suffixDecoding:
      self = NaiveDrafter(options).draft(local: local, shared: shared, context: context)
    case .estimate:
      var histories: [NaiveEstimate.History] = []
      if let local { histories.append(.local(local)) }
      if let group { histories.append(.group(group)) }
      self = NaiveEstimate(options).draft(from: histories + [.shared(shared)], context: context)
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
      minProbability: [0, 0.1, 0.4].randomElement(using: &generator)!,
      minMatch: [1, 1, 2].randomElement(using: &generator)!, tree: tree)
  }
}
