import RepriseModel
import TestSupport
import Testing

@Suite struct DraftBudgetTests {
  /// Sorts all tokens.
  private func naiveShares(of budget: Int, among drafts: [Draft]) -> [Int] {
    var tokens: [(prob: Float, draft: Int, place: Int)] = []
    for (draft, drafted) in drafts.enumerated() {
      for (place, prob) in drafted.probs.enumerated() { tokens.append((prob, draft, place)) }
    }
    tokens.sort { ($1.prob, $0.draft, $0.place) < ($0.prob, $1.draft, $1.place) }
    return tokens.prefix(budget).reduce(into: drafts.map { _ in 0 }) { $0[$1.draft] += 1 }
  }

  @Test func theMostProbableTokensOfAllDraftsAreKept() {
    for seed in Effort.seeds(500) {
      var generator = SeededGenerator(seed: seed)
      let drafts = (0..<Int.random(in: 0...9, using: &generator)).map { _ in
        var draft = Draft()
        // Few different probabilities, so that there are ties.
        var probability = Double(Int.random(in: 4...8, using: &generator)) / 8
        for place in 0..<Int32.random(in: 0...12, using: &generator) {
          if Bool.random(using: &generator) { probability = max(probability - 0.125, 0.125) }
          draft.append(token: place, parent: place - 1, probability: probability, count: 1)
        }
        return draft
      }
      let total = drafts.reduce(0) { $0 + $1.count }
      for budget in [0, 1, 5, total / 2, total, total + 1] {
        let shares = DraftBudget.shares(of: budget, among: drafts)
        #expect(
          shares == naiveShares(of: budget, among: drafts), "seed \(seed), \(budget) of \(drafts)")
        #expect(shares.reduce(0, +) == min(budget, total))
      }
    }
  }

  @Test func aDraftKeepsItsFirstTokens() {
    var draft = Draft()
    for place in 0..<4 as Range<Int32> {
      draft.append(token: place, parent: place - 1, probability: 0.5, count: 7)
    }
    (draft.matchLength, draft.source) = (3, .local)
    draft.keepFirst(9)
    #expect(draft.count == 4)
    draft.keepFirst(2)
    #expect(draft.tokens == [0, 1] && draft.parents == [-1, 0] && draft.counts == [7, 7])
    #expect(draft.probs == [0.5, 0.5] && draft.score == 1 && draft.matchLength == 3)
    draft.keepFirst(0)
    #expect(draft.isEmpty && draft.score == 0 && draft.matchLength == 0)
  }
}
