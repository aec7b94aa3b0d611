import RepriseModel
import TestSupport

extension DraftOptions {
  /// Options that some worker may use.
  static func random(using random: inout SeededGenerator) -> DraftOptions {
    DraftOptions(
      maxTokens: [8, 32, 32, 64].randomElement(using: &random)!,
      maxFactor: [1, 1, 2, 4].randomElement(using: &random)!,
      minProbability: [0.05, 0.1, 0.1, 0.3].randomElement(using: &random)!,
      minMatch: [1, 1, 2].randomElement(using: &random)!,
      tree: Bool.random(using: &random))
  }
}

/// The checks of drafts.
enum DraftJudge {
  /// The fault of a draft that is wrong for any history, or nil.
  ///
  /// - Parameter context: A session's whole text, or the context of the request.
  static func fault(
    _ draft: Draft, _ options: DraftOptions, after context: [Int32], _ plan: CorpusPlan
  ) -> String? {
    let (depth, language) = (plan.depth, plan.language)
    if draft.isEmpty {
      return draft.matchLength == 0 && draft.score == 0
        ? nil : "an empty draft has a match or a score"
    }
    guard draft.matchLength >= 1, draft.matchLength <= min(context.count, depth - 1),
      let last = context.last
    else { return "the match is longer than the context" }
    if draft.matchLength < options.minMatch { return "a match shorter than the least" }
    if draft.count > options.budget(matchLength: draft.matchLength) {
      return "more tokens than the match earns"
    }
    var levels: [Int] = []
    var siblings: [Int32: [Int32]] = [:]
    var childrensCounts: [Int32: Int] = [:]
    var score = 0.0
    for place in draft.tokens.indices {
      let (token, parent) = (draft.tokens[place], draft.parents[place])
      let (probability, count) = (draft.probs[place], draft.counts[place])
      if !options.tree && parent != Int32(place) - 1 { return "a path that branches" }
      if siblings[parent]?.contains(token) == true { return "a token twice below one parent" }
      siblings[parent, default: []].append(token)
      levels.append(parent < 0 ? 1 : levels[Int(parent)] + 1)
      if draft.matchLength + levels[place] > depth { return "a pattern longer than the depth" }
      if count < 1 { return "a count of \(count)" }
      if !(probability > 0 && probability <= 1) { return "a probability of \(probability)" }
      // The probability is rounded to a Float in answers, but not in the service's comparison.
      if Double(probability) < options.minProbability * (1 - 1e-6) { return "too improbable" }
      if place > 0 && probability > draft.probs[place - 1] { return "probabilities that rise" }
      if !language.follows(token, after: parent < 0 ? last : draft.tokens[Int(parent)]) {
        return "\(token) never follows \(parent < 0 ? last : draft.tokens[Int(parent)])"
      }
      childrensCounts[parent, default: 0] += count
      if parent >= 0 {
        let ratio = Double(count) / Double(draft.counts[Int(parent)])
        let expected = Double(draft.probs[Int(parent)]) * ratio
        if abs(Double(probability) - expected) > 1e-5 * expected {
          return "a probability that is not the ratio of the counts"
        }
      }
      score += Double(probability)
    }
    if abs(score - draft.score) > 1e-5 * score { return "a score that is not the sum" }
    // The occurrences of the match follow from any child of it.
    let matches = (Double(draft.counts[0]) / Double(draft.probs[0])).rounded()
    for (parent, sum) in childrensCounts {
      let bound = parent < 0 ? matches : Double(draft.counts[Int(parent)])
      if Double(sum) > bound { return "children that occur more often than their parent" }
    }
    for place in draft.tokens.indices where draft.parents[place] < 0 {
      let expected = Double(draft.counts[place]) / matches
      if abs(Double(draft.probs[place]) - expected) > 1e-5 * expected {
        return "a probability that is not the ratio of the counts"
      }
    }
    return nil
  }

  /// An error that describes a wrong draft. The important part comes first, because the rest is long.
  static func error(
    _ what: String, _ draft: Draft, _ options: DraftOptions, after context: [Int32],
    _ plan: CorpusPlan
  ) -> ToolError {
    ToolError("\(plan.name): \(what); \(draft); \(options) after \(context.suffix(70))")
  }
}
