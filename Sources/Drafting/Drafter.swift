import SuffixIndex

/// Turns counts into drafts: SuffixDecoding (arXiv 2411.04975, section 4) over any number of
/// indexes whose counts are added up.
///
/// ## What a draft is
///
/// Let the context's last m tokens occur in the history. A match of length m may draft up to
/// b(m) = min(maxTokens, ⌊m · maxFactor + maxOffset⌋) tokens, following each pattern by its most
/// frequent children. The probability of a drafted token is the product of count ratios along its
/// path, the score of a draft is the sum of its tokens' probabilities. Every match length is a
/// candidate; the highest score wins, the longer match at equal score. Two things are written down
/// here because the paper leaves them open: children of equal count follow each other by rising
/// token (`ChildCursor.precedes`), and tree nodes of equal probability by the place of their parent
/// in the draft, then by their rank among its children.
///
/// ## How it is found without trying every length
///
/// Lengths are visited from the longest down.
///
/// - *Classes.* Lengths with the same count have the same occurrences, because the occurrences of
///   a longer suffix are some of those of a shorter one. So they have the same continuations, and
///   their drafts differ only in how far they may go. One path answers a whole class.
/// - *Bound.* No draft of length m scores more than min(b(m), depth − m): each token adds at most
///   1, and so does each level of a tree, and patterns end at `depth`. When the best score reaches
///   what all shorter lengths could score, the search ends. The longest match usually ends it.
///   A draft that is being made is given up as soon as its last probability, times the tokens that
///   may follow, cannot make it the best.
///
/// The answer equals that of trying all lengths, which the tests do.
///
/// ## Use
///
/// A drafter is scratch memory: keep one per thread and draft with it again and again; it then
/// allocates nothing.
public struct Drafter {
  /// The loci of the match, for each length that was visited, the longest first.
  private var lociByLength = LocusLists()
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
  ///   - options: What is asked.
  ///   - scoreMin: Only a draft that scores more than this is wanted; mostly it is then known at
  ///     once that there is none.
  ///   - draft: Receives the draft; empty when history has nothing to propose. Its `source` is
  ///     left to the caller.
  /// - Complexity: O(match length + drafted tokens) index steps for each index in the usual case.
  public mutating func draft(
    from indexes: [AnyHistoryIndex], matches: [MatchCursor], options: DraftOptions,
    betterThan scoreMin: Double = 0, into draft: inout Draft
  ) {
    precondition(
      options.maxTokens >= 0 && options.maxFactor >= 0, "budgets do not fall with the match")
    draft.removeAll()
    guard let depth = indexes.first?.depth else { return }
    var length = 0
    for match in matches { length = max(length, Int(match.length)) }
    if length == 0 || options.maxTokens == 0 { return }

    lociByLength.removeAll()
    for (index, match) in matches.enumerated() where Int(match.length) == length {
      lociByLength.append(Locus(cursor: match, index: Int32(index)))
    }
    lociByLength.endList()
    let search = Search(longest: length, depth: depth, options: options, scoreMin: scoreMin)
    while length > 0 {
      if search.isOver(draft, below: length) { return }
      length = consider(length, search, indexes, matches, into: &draft)
    }
  }

  /// What stays the same during one search.
  private struct Search {
    let longest: Int
    let depth: Int
    let options: DraftOptions
    let scoreMin: Double

    /// The most that a draft of this length can score.
    func bound(_ length: Int) -> Int {
      min(options.budget(matchLength: length), depth - length)
    }

    /// Which list of loci is of this length.
    func list(_ length: Int) -> Int { longest - length }

    /// What a draft has to exceed (or, by a longer match, to equal) to be kept.
    func score(_ draft: Draft) -> Double { max(draft.score, scoreMin) }

    /// Whether no length up to this one can do better.
    func isOver(_ draft: Draft, below length: Int) -> Bool {
      // b is not falling in m, and depth − m is at most depth − 1.
      score(draft) >= Double(min(options.budget(matchLength: length), depth - 1))
    }
  }

  /// Drafts from a length and all below it that are of its class: lengths whose patterns stand at
  /// the same places. Keeps the result if it is better than `draft`.
  ///
  /// - Returns: A length from which to go on, 0 when no shorter one can be better.
  private mutating func consider(
    _ top: Int, _ search: Search, _ indexes: [AnyHistoryIndex], _ matches: [MatchCursor],
    into draft: inout Draft
  ) -> Int {
    var peak = top
    var below: Int?
    if top > 1 && search.bound(top - 1) > search.bound(top) {
      // Shorter lengths of the class may go further, so they have to be known first.
      let next = nextClass(below: top, search, indexes, matches, draft)
      // The length that may go furthest; b rises with m and depth − m falls, so there is one peak.
      // Lengths that cannot be better were perhaps not looked at.
      let bottom = max(next + 1, search.longest + 1 - lociByLength.count)
      while peak > bottom, search.bound(peak - 1) > search.bound(peak) { peak -= 1 }
      below = next
    }
    let bound = search.bound(peak)
    if bound > 0 && Double(bound) + Self.roundingMax > search.score(draft) {
      if search.options.tree {
        considerTrees(top, peak: peak, search, indexes, into: &draft)
      } else {
        candidate.removeAll()
        path.walk(
          from: search.list(peak), of: lociByLength, indexes, tokensMax: bound,
          probabilityMin: search.options.minProbability,
          scoreMin: search.score(draft) - Self.roundingMax, into: &candidate)
        // All lengths that may go as far draft the same; the longest of them wins.
        var length = top
        while search.bound(length) < candidate.count { length -= 1 }
        keepBetter(length, search, &draft)
      }
    }
    return below ?? nextClass(below: top, search, indexes, matches, draft)
  }

  /// Records the loci of the lengths below `top`, down to the first that is of another class, and
  /// returns that one; 0 when there is none, or when no shorter length can be better than `draft`.
  private mutating func nextClass(
    below top: Int, _ search: Search, _ indexes: [AnyHistoryIndex], _ matches: [MatchCursor],
    _ draft: Draft
  ) -> Int {
    let occurrences = lociByLength.occurrences(search.list(top))
    var length = top
    while length > 1 {
      length -= 1
      if search.isOver(draft, below: length) { return 0 }
      for locus in lociByLength.range(search.list(length + 1)) {
        var shorter = lociByLength[locus]
        indexes[Int(shorter.index)].shorten(&shorter.cursor)
        lociByLength.append(shorter)
      }
      for index in matches.indices where Int(matches[index].length) == length {
        lociByLength.append(Locus(cursor: matches[index], index: Int32(index)))
      }
      lociByLength.endList()
      if lociByLength.occurrences(search.list(length)) != occurrences { return length }
    }
    return 0
  }

  /// Levels of a tree add up to 1 each; in floating point, to a little more at worst.
  private static let roundingMax = 1e-9

  private mutating func considerTrees(
    _ top: Int, peak: Int, _ search: Search, _ indexes: [AnyHistoryIndex],
    into draft: inout Draft
  ) {
    growTree(peak, search, indexes, into: &draft)
    tree.takeOutline(&outlineAtPeak)
    let budgetAtPeak = search.options.budget(matchLength: peak)
    // Shorter matches than the peak cannot gain by going deeper: a tree of B tokens has at most B
    // levels, and if their budget exceeded the levels at the peak, the peak would be one of them.
    // Longer matches with the same budget: the same tree if the levels suffice. Otherwise it has
    // to do without some of the tokens of the tree at the peak, and is no worse only where those
    // that found no place there are as probable.
    for length in stride(from: top, to: peak, by: -1) {
      let levels = search.depth - length
      if search.options.budget(matchLength: length) == budgetAtPeak {
        if outlineAtPeak.isGivenUp { return }
        if levels >= outlineAtPeak.levels.count {
          if draft.matchLength == peak { draft.matchLength = length }
          return
        }
        if outlineAtPeak.levels[levels] > outlineAtPeak.unplaced + Self.roundingMax { continue }
      }
      if Double(search.bound(length)) + Self.roundingMax >= search.score(draft) {
        growTree(length, search, indexes, into: &draft)
      }
    }
  }

  private mutating func growTree(
    _ length: Int, _ search: Search, _ indexes: [AnyHistoryIndex], into draft: inout Draft
  ) {
    candidate.removeAll()
    tree.grow(
      from: search.list(length), of: lociByLength, indexes,
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
