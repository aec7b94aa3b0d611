import RepriseModel
import SuffixIndex

/// Drafts the tokens that will probably be accepted, by one estimate of the next token over all
/// histories.
///
/// A token is drafted when the product of the estimates along its path is at least the options'
/// `minProbability`. A path follows the most probable token, at equal probability the smaller one.
/// A tree is grown best first: at equal probability the token whose parent was placed first, then
/// the smaller token. The context of each drafted token is looked up afresh, so its own longest
/// match decides about the next.
///
/// Probabilities are IEEE doubles, computed in the written order and without fused operations, so
/// that every machine drafts alike.
///
/// A drafter is scratch memory: keep one per thread and draft with it again and again; it then
/// allocates nothing.
public struct EstimateDrafter: Sendable {
  /// A token that may be placed.
  private struct Possible: FringeEntry {
    var probability: Double
    /// Place of the parent in the draft, or −1.
    var parent: Int32
    var token: Int32
    var count: Int

    func precedes(_ other: Self) -> Bool {
      if probability != other.probability { return probability > other.probability }
      return parent != other.parent ? parent < other.parent : token < other.token
    }
  }

  /// The least probability of a drafted token. It bounds the work for a request whose
  /// `minProbability` is 0, and keeps products of probabilities far from the smallest number.
  public static let probabilityMin = 0.001
  /// The most tokens in a draft, because nothing else is answered on its thread meanwhile.
  public static let tokensMax = 256

  private var estimator = Estimator()
  private var candidates: [Candidate] = []
  private var fringe = Fringe<Possible>()
  private var matches = DraftedMatches()
  /// The least length of a match that the draft is made from.
  private var lengthMin = 1

  public init() {}

  /// Drafts from all histories together.
  ///
  /// - Parameters:
  ///   - histories: At equal length of match the observation of the first is used first.
  ///   - indexes: The indexes of all histories. Those of one history have one depth, and together
  ///     they hold the history. Each must be kept alive by the caller.
  ///   - matches: For each index, the longest suffix of the context that it holds.
  ///   - draft: Receives the draft; empty where nothing is probable enough. `counts` are those of
  ///     the first observation that has the token; `matchLength` is the longest match of the context
  ///     that a token ever followed, and `source` the history with that match.
  /// - Complexity: O(drafted tokens · indexes) index steps as a rule.
  public mutating func draft(
    from histories: [DraftHistory], _ indexes: [AnyHistoryIndex], matches: [MatchCursor],
    options: DraftOptions, into draft: inout Draft
  ) {
    draft.removeAll()
    if options.maxTokens == 0 { return }
    var options = options
    options.minProbability = max(options.minProbability, Self.probabilityMin)
    options.maxTokens = min(options.maxTokens, Self.tokensMax)
    lengthMin = options.minMatch
    self.matches.begin(matches)
    let longest = estimate(histories, indexes)
    if options.tree {
      growTree(histories, indexes, options, into: &draft)
    } else {
      walkPath(histories, indexes, options, into: &draft)
    }
    if draft.isEmpty { return }
    draft.matchLength = longest.length
    draft.source = histories[longest.history].source
  }

  /// Estimates what follows the last token of the draft, or the context if there is none.
  private mutating func estimate(
    _ histories: [DraftHistory], _ indexes: [AnyHistoryIndex]
  ) -> Estimator.Longest {
    estimator.estimate(histories, indexes, &matches, lengthMin: lengthMin, into: &candidates)
  }

  /// Estimates what follows the draft's last token: nothing, if that is an end id.
  private mutating func estimateNext(
    _ histories: [DraftHistory], _ indexes: [AnyHistoryIndex], _ options: DraftOptions,
    after draft: Draft
  ) {
    let last = draft.count - 1
    matches.add(draft.tokens[last], after: Int(draft.parents[last]))
    if options.endIDs.contains(draft.tokens[last]) {
      candidates.removeAll(keepingCapacity: true)
    } else {
      _ = estimate(histories, indexes)
    }
  }

  private mutating func walkPath(
    _ histories: [DraftHistory], _ indexes: [AnyHistoryIndex], _ options: DraftOptions,
    into draft: inout Draft
  ) {
    var probability = 1.0
    while true {
      var best: Candidate?
      for place in candidates.indices where candidates[place].token < options.vocabulary {
        let candidate = candidates[place]
        if let known = best,
          candidate.probability < known.probability
            || (candidate.probability == known.probability && candidate.token > known.token)
        {
          continue
        }
        best = candidate
      }
      guard let best else { return }
      probability *= best.probability
      if probability < options.minProbability { return }
      draft.append(
        token: best.token, parent: Int32(draft.count - 1), probability: probability,
        count: best.count)
      if draft.count == options.maxTokens { return }
      estimateNext(histories, indexes, options, after: draft)
    }
  }

  private mutating func growTree(
    _ histories: [DraftHistory], _ indexes: [AnyHistoryIndex], _ options: DraftOptions,
    into draft: inout Draft
  ) {
    fringe.removeAll()
    var (parent, probability) = (-1, 1.0)
    while true {
      for place in candidates.indices where candidates[place].token < options.vocabulary {
        let candidate = candidates[place]
        let along = probability * candidate.probability
        if along < options.minProbability { continue }
        fringe.push(
          Possible(
            probability: along, parent: Int32(parent), token: candidate.token,
            count: candidate.count))
      }
      guard let next = fringe.pop() else { return }
      draft.append(
        token: next.token, parent: next.parent, probability: next.probability, count: next.count)
      if draft.count == options.maxTokens { return }
      (parent, probability) = (draft.count - 1, next.probability)
      estimateNext(histories, indexes, options, after: draft)
    }
  }
}
