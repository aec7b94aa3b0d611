import RepriseModel

/// A draft in the oracle's own type.
package struct NaiveDraft: Equatable, Sendable {
  package var tokens: [Int32] = []
  package var parents: [Int32] = []
  package var probs: [Float] = []
  package var counts: [Int] = []
  package var score: Double = 0
  package var matchLength = 0
  package var source = Draft.Source.shared

  package init() {}

  /// The draft without the tokens that follow an end id.
  fileprivate func cut(after endIDs: EndIDs) -> NaiveDraft {
    var cut = NaiveDraft()
    var places: [Int: Int] = [:]
    for place in tokens.indices {
      let parent = Int(parents[place])
      if parent >= 0 && (places[parent] == nil || endIDs.contains(tokens[parent])) { continue }
      places[place] = cut.tokens.count
      cut.tokens.append(tokens[place])
      cut.parents.append(parent < 0 ? -1 : Int32(places[parent]!))
      cut.probs.append(probs[place])
      cut.counts.append(counts[place])
    }
    if cut.tokens.count == tokens.count { return self }
    cut.score = cut.probs.reduce(0) { $0 + Double($1) }
    (cut.matchLength, cut.source) = (matchLength, source)
    return cut
  }

  /// True if a draft is this one in every field.
  package func isEqual(to draft: Draft) -> Bool {
    draft.tokens == tokens && draft.parents == parents && draft.probs == probs
      && draft.counts == counts && draft.score == score && draft.matchLength == matchLength
      && draft.source == source
  }
}

/// Drafts as SuffixDecoding is described (arXiv 2411.04975, section 4): every match length is
/// tried, upward, with the dictionary of all n-grams or another history with the same counts.
package struct NaiveDrafter {
  package var maxTokens = 32
  package var maxFactor = 1.0
  package var maxOffset = 0.0
  package var minProbability = 0.1
  package var minMatch = 1
  package var tree = false
  package var endIDs = EndIDs()

  package init() {}

  package init(_ options: DraftOptions) {
    maxTokens = options.maxTokens
    maxFactor = options.maxFactor
    maxOffset = options.maxOffset
    minProbability = options.minProbability
    minMatch = options.minMatch
    tree = options.tree
    endIDs = options.endIDs
  }

  /// The better of the local and the shared draft; the local one at equal score.
  package func draft(
    local: (some CountedHistory)?, shared: some CountedHistory, context: [Int32]
  ) -> NaiveDraft {
    let sharedDraft = draft(from: shared, context: context)
    guard let local else { return sharedDraft }
    var localDraft = draft(from: local, context: context)
    localDraft.source = .local
    return localDraft.score >= sharedDraft.score ? localDraft : sharedDraft
  }

  package func draft(from history: some CountedHistory, context: [Int32]) -> NaiveDraft {
    var best = NaiveDraft()
    for length in stride(from: minMatch, through: history.matchLength(context), by: 1) {
      let pattern = Array(context.suffix(length))
      var draft = tree ? growTree(history, pattern) : walkPath(history, pattern)
      draft.matchLength = length
      if !draft.tokens.isEmpty && draft.score >= best.score { best = draft }
    }
    return best.cut(after: endIDs)
  }

  private func budget(_ length: Int) -> Int {
    let earned = (Double(length) * maxFactor + maxOffset + 1e-6).rounded(.down)
    return max(0, Int(min(earned, Double(maxTokens))))
  }

  private func walkPath(_ history: some CountedHistory, _ start: [Int32]) -> NaiveDraft {
    var draft = NaiveDraft()
    var pattern = start
    var probability = 1.0
    while draft.tokens.count < budget(start.count),
      let child = history.children(of: pattern).first
    {
      probability *= Double(child.count) / Double(history.count(pattern))
      if probability < minProbability { break }
      draft.parents.append(Int32(draft.tokens.count - 1))
      draft.tokens.append(child.token)
      draft.probs.append(Float(probability))
      draft.counts.append(child.count)
      draft.score += probability
      pattern.append(child.token)
    }
    return draft
  }

  private func growTree(_ history: any CountedHistory, _ start: [Int32]) -> NaiveDraft {
    struct Candidate {
      var pattern: [Int32]
      var parent: Int
      var rank: Int
      var probability: Double
      var count: Int
    }
    var draft = NaiveDraft()
    var candidates: [Candidate] = []
    func consider(below pattern: [Int32], at parent: Int, _ probability: Double) {
      for (rank, child) in history.children(of: pattern).enumerated() {
        let childProbability = probability * (Double(child.count) / Double(history.count(pattern)))
        if childProbability < minProbability { continue }
        candidates.append(
          Candidate(
            pattern: pattern + [child.token], parent: parent, rank: rank,
            probability: childProbability, count: child.count))
      }
    }
    consider(below: start, at: -1, 1)
    while draft.tokens.count < budget(start.count),
      // Highest probability first; then the parent that was placed first; then the children's own
      // order.
      let next = candidates.indices.min(by: { a, b in
        let (a, b) = (candidates[a], candidates[b])
        if a.probability != b.probability { return a.probability > b.probability }
        return a.parent != b.parent ? a.parent < b.parent : a.rank < b.rank
      })
    {
      let chosen = candidates.remove(at: next)
      draft.tokens.append(chosen.pattern[chosen.pattern.count - 1])
      draft.parents.append(Int32(chosen.parent))
      draft.probs.append(Float(chosen.probability))
      draft.counts.append(chosen.count)
      draft.score += chosen.probability
      consider(below: chosen.pattern, at: draft.tokens.count - 1, chosen.probability)
    }
    return draft
  }
}
