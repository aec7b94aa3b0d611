import RepriseModel
import SuffixIndex

/// A pattern in one of the indexes.
struct Locus: BitwiseCopyable {
  var cursor: MatchCursor
  var index: Int32
}

/// Turns counts into drafts: SuffixDecoding (arXiv 2411.04975, section 4) over any number of
/// indexes whose counts are added up.
///
/// ## What a draft is
///
/// Let the context's last m tokens occur in the history. A match of length m may draft up to
/// b(m) = min(maxTokens, ⌊m · maxFactor + maxOffset⌋) tokens, following each pattern by its most
/// frequent children. The probability of a drafted token is the product of count ratios along its
/// path, the score of a draft is the sum of its tokens' probabilities. Every match length is a
/// candidate; the highest score wins, the longer match at equal score. The paper leaves two orders
/// open. Here, children of equal count are ordered by rising token (`ChildCursor.precedes`), and
/// tree nodes of equal probability by the place of their parent in the draft, then by their rank
/// among its children.
///
/// ## How it is found without trying every length
///
/// Lengths are visited from the longest down.
///
/// - *Classes.* Lengths with the same count have the same occurrences, because every occurrence of
///   a longer suffix contains one of each shorter suffix. Therefore they have the same
///   continuations, and their drafts differ only in how far they may go. One path answers a whole
///   class.
/// - *Bound.* No draft of length m scores more than min(b(m), depth − m): each token adds at most
///   1, and so does each level of a tree, and patterns end at `depth`. When the best score reaches
///   what all shorter lengths could score, the search ends. The longest match usually ends it.
///   The walk that builds a draft ends early as soon as its last probability, times the tokens that
///   may still follow, cannot make it the best.
///
/// The result equals that of trying all lengths, which the tests do. Tokens beyond the options'
/// `vocabulary`, and those after an end id, are removed afterwards; no other match is tried in their
/// place.
///
/// ## Use
///
/// A drafter is scratch memory: keep one per thread and draft with it again and again; it then
/// allocates nothing.
public struct Drafter: Sendable {
  private var classes = MatchClasses()
  /// The loci of a shorter pattern of the same class, and the draft that is being built.
  private var shorter: [Locus] = []
  private var path = PathWalker()
  private var tree = TreeGrower()
  private var outlineAtPeak = TreeGrower.Outline()
  private var candidate = Draft()

  public init() {}

  /// Drafts from one history.
  ///
  /// - Parameters:
  ///   - indexes: The indexes that hold the history between them, all of one depth. Each must be
  ///     kept alive by the caller.
  ///   - matches: For each index, the longest suffix of the context that it holds.
  ///   - options: The settings of the draft.
  ///   - scoreMin: Only a draft with a higher score is wanted. With a bound, it is usually known
  ///     at once that there is none.
  ///   - draft: Receives the draft; empty when history has nothing to propose. Its `source` is
  ///     left to the caller.
  /// - Complexity: O(match length + drafted tokens) index steps for each index in the usual case.
  public mutating func draft(
    from indexes: [AnyHistoryIndex], matches: [MatchCursor], options: DraftOptions,
    betterThan scoreMin: Double = 0, into draft: inout Draft
  ) {
    search(indexes, matches, options, betterThan: scoreMin, into: &draft)
    draft.keepTokens(below: options.vocabulary, notAfter: options.endIDs)
  }

  private mutating func search(
    _ indexes: [AnyHistoryIndex], _ matches: [MatchCursor], _ options: DraftOptions,
    betterThan scoreMin: Double, into draft: inout Draft
  ) {
    precondition(
      options.maxTokens >= 0 && options.maxFactor >= 0, "budgets do not fall with the match")
    draft.removeAll()
    guard let depth = indexes.first?.depth else { return }
    if options.maxTokens == 0 { return }
    var matches = KnownMatches(cursors: matches)
    classes.begin(&matches, in: indexes.indices, indexes, lengthMin: options.minMatch)
    let search = Search(depth: depth, options: options, scoreMin: scoreMin)
    while classes.length >= options.minMatch {
      if search.isOver(draft, below: classes.length) { return }
      let next = consider(classes.length, search, indexes, &matches, into: &draft)
      classes.goOn(to: next, indexes, matches, in: indexes.indices)
    }
  }

  /// The values that stay constant during one search.
  private struct Search {
    let depth: Int
    let options: DraftOptions
    let scoreMin: Double

    /// The most that a draft of this length can score.
    func bound(_ length: Int) -> Int {
      min(options.budget(matchLength: length), depth - length)
    }

    /// The score that a draft has to exceed (or, by a longer match, to equal) to be kept.
    func score(_ draft: Draft) -> Double { max(draft.score, scoreMin) }

    /// True if no length up to this one can do better.
    func isOver(_ draft: Draft, below length: Int) -> Bool {
      // b is not falling in m, and depth − m is at most depth − 1.
      score(draft) >= Double(min(options.budget(matchLength: length), depth - 1))
    }

    /// The shortest length below `top` that could do better; `top` when there is none.
    func lengthMin(_ draft: Draft, below top: Int) -> Int {
      // Budgets do not fall with the length.
      var (low, high) = (options.minMatch, top)
      while low < high {
        let middle = (low + high) / 2
        if isOver(draft, below: middle) { low = middle + 1 } else { high = middle }
      }
      return low
    }
  }

  /// Drafts from `top` and from all shorter lengths of its class, whose patterns occur at the same
  /// places. Keeps the result if it is better than `draft`.
  ///
  /// - Returns: The length to continue with; 0 when no shorter one can be better.
  private mutating func consider(
    _ top: Int, _ search: Search, _ indexes: [AnyHistoryIndex],
    _ matches: inout KnownMatches, into draft: inout Draft
  ) -> Int {
    var peak = top
    var below: Int?
    if top > 1 && search.bound(top - 1) > search.bound(top) {
      // The search bounds which lengths of the class can matter: shorter ones may draft deeper.
      let lengthMin = search.lengthMin(draft, below: top)
      let next = classes.next(lengthMin: lengthMin, indexes, &matches, in: indexes.indices)
      // The length that may draft furthest; b rises with m and depth − m falls, so there is one
      // peak.
      while peak > max(next + 1, lengthMin), search.bound(peak - 1) > search.bound(peak) {
        peak -= 1
      }
      below = next
    }
    let bound = search.bound(peak)
    if bound > 0 && Double(bound) + Self.roundingMax > search.score(draft) {
      if search.options.tree {
        considerTrees(top, peak: peak, search, indexes, into: &draft)
      } else {
        candidate.removeAll()
        takeSuffixes(of: peak, top, indexes)
        path.walk(
          from: shorter, indexes, tokensMax: bound,
          probabilityMin: search.options.minProbability,
          scoreMin: search.score(draft) - Self.roundingMax, into: &candidate)
        // All lengths with the same bound draft the same; the longest of them wins.
        var length = top
        while search.bound(length) < candidate.count { length -= 1 }
        keepBetter(length, search, &draft)
      }
    }
    return below
      ?? classes.next(
        lengthMin: search.lengthMin(draft, below: top), indexes, &matches, in: indexes.indices)
  }

  /// Puts the patterns of `length`, of the class of `top`, into `shorter`.
  private mutating func takeSuffixes(of length: Int, _ top: Int, _ indexes: [AnyHistoryIndex]) {
    shorter.removeAll(keepingCapacity: true)
    for position in classes.loci.indices {
      var locus = classes.loci[position]
      if length < top {
        locus.cursor = indexes[Int(locus.index)].suffix(of: locus.cursor, length: UInt32(length))
      }
      shorter.append(locus)
    }
  }

  /// Each level of a tree adds up to 1; in floating point the sum can exceed it by no more than
  /// this.
  private static let roundingMax = 1e-9

  private mutating func considerTrees(
    _ top: Int, peak: Int, _ search: Search, _ indexes: [AnyHistoryIndex],
    into draft: inout Draft
  ) {
    growTree(peak, of: top, search, indexes, into: &draft)
    tree.takeOutline(&outlineAtPeak)
    let budgetAtPeak = search.options.budget(matchLength: peak)
    // Shorter matches than the peak cannot gain by going deeper: a tree of B tokens has at most B
    // levels, and if their budget exceeded the levels at the peak, the peak would be one of them.
    // Longer matches with the same budget: the same tree if the levels suffice. Otherwise the tree
    // lacks some of the tokens of the tree at the peak. It is no worse only where the tokens that
    // found no place there are as probable.
    for length in stride(from: top, to: peak, by: -1) {
      let levels = search.depth - length
      if search.options.budget(matchLength: length) == budgetAtPeak {
        if outlineAtPeak.isGivenUp { return }
        if levels >= outlineAtPeak.levels.count {
          if draft.matchLength == peak { draft.matchLength = length }
          return
        }
        let unplaced = outlineAtPeak.unplaced(onFirst: levels)
        if outlineAtPeak.levels[levels] > unplaced + Self.roundingMax { continue }
      }
      if Double(search.bound(length)) + Self.roundingMax >= search.score(draft) {
        growTree(length, of: top, search, indexes, into: &draft)
      }
    }
  }

  private mutating func growTree(
    _ length: Int, of top: Int, _ search: Search, _ indexes: [AnyHistoryIndex],
    into draft: inout Draft
  ) {
    candidate.removeAll()
    takeSuffixes(of: length, top, indexes)
    tree.grow(
      from: shorter, indexes,
      tokensMax: search.options.budget(matchLength: length), levelsMax: search.depth - length,
      probabilityMin: search.options.minProbability,
      scoreMin: search.score(draft) - Self.roundingMax, into: &candidate)
    keepBetter(length, search, &draft)
  }

  private mutating func keepBetter(_ length: Int, _ search: Search, _ draft: inout Draft) {
    if candidate.isEmpty || candidate.score <= search.scoreMin { return }
    candidate.matchLength = length
    if candidate.score > draft.score
      || (candidate.score == draft.score && length > draft.matchLength)
    {
      swap(&candidate, &draft)
    }
  }
}
