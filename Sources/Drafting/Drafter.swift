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
///
/// The answer equals that of trying all lengths, which the tests do.
///
/// ## Use
///
/// A drafter is scratch memory: keep one per thread and draft with it again and again; it then
/// allocates nothing.
public struct Drafter {
  /// A pattern in one of the indexes.
  struct Locus {
    var cursor: MatchCursor
    var index: Int32
  }

  /// The loci of the match, for each length that was visited, the longest first.
  private var lociByLength = LocusLists()
  private var path = PathWalker()
  private var tree = TreeGrower()
  private var candidate = Draft()

  public init() {}

  /// Drafts from one history.
  ///
  /// - Parameters:
  ///   - indexes: The indexes that hold the history between them, all of one depth. Each must be
  ///     kept alive by the caller.
  ///   - matches: For each index, the longest suffix of the context that it holds.
  ///   - options: What is asked.
  ///   - draft: Receives the draft; empty when history has nothing to propose. Its `source` is
  ///     left to the caller.
  /// - Complexity: O(match length + drafted tokens) index steps for each index in the usual case.
  public mutating func draft(
    from indexes: [AnyHistoryIndex], matches: [MatchCursor], options: DraftOptions,
    into draft: inout Draft
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
    let longest = length
    while length > 0 {
      // b is not falling in m and depth − m is at least 1 shorter than depth for all m.
      let boundBelow = min(options.budget(matchLength: length), depth - 1)
      if draft.score >= Double(boundBelow) { return }
      let top = length
      let bottom = findClass(below: top, longest: longest, indexes, matches)
      consider(
        Class(top: top, bottom: bottom, longest: longest, depth: depth), indexes, options,
        into: &draft)
      length = bottom - 1
    }
  }

  /// Lengths whose patterns stand at the same places.
  private struct Class {
    let top: Int
    let bottom: Int
    let longest: Int
    let depth: Int

    /// The most that a draft of this length can score.
    func bound(_ length: Int, _ options: DraftOptions) -> Int {
      min(options.budget(matchLength: length), depth - length)
    }

    /// Which list of loci is of this length.
    func list(_ length: Int) -> Int { longest - length }
  }

  /// Records the loci of all lengths of the class of `top`, and those of the first length below
  /// it; returns the shortest length in the class.
  private mutating func findClass(
    below top: Int, longest: Int, _ indexes: [AnyHistoryIndex], _ matches: [MatchCursor]
  ) -> Int {
    let occurrences = lociByLength.occurrences(longest - top)
    var length = top
    while length > 1 {
      length -= 1
      for locus in lociByLength.range(longest - length - 1) {
        var shorter = lociByLength[locus]
        indexes[Int(shorter.index)].shorten(&shorter.cursor)
        lociByLength.append(shorter)
      }
      for (index, match) in matches.enumerated() where Int(match.length) == length {
        lociByLength.append(Locus(cursor: match, index: Int32(index)))
      }
      lociByLength.endList()
      if lociByLength.occurrences(longest - length) != occurrences { return length + 1 }
    }
    return 1
  }

  /// Drafts from a class of lengths, and keeps the result if it is better than `draft`.
  private mutating func consider(
    _ lengths: Class, _ indexes: [AnyHistoryIndex], _ options: DraftOptions,
    into draft: inout Draft
  ) {
    // The length that may go furthest; b rises with m and depth − m falls, so there is one peak.
    var peak = lengths.top
    while peak > lengths.bottom,
      lengths.bound(peak - 1, options) > lengths.bound(peak, options)
    {
      peak -= 1
    }
    let bound = lengths.bound(peak, options)
    if bound == 0 || Double(bound) + Self.roundingMax <= draft.score { return }
    if options.tree {
      considerTrees(lengths, peak: peak, indexes, options, into: &draft)
      return
    }
    candidate.removeAll()
    path.walk(
      from: lociByLength.list(lengths.list(peak)), indexes, tokensMax: bound,
      probabilityMin: options.minProbability, into: &candidate)
    // All lengths that may go as far draft the same; the longest of them wins.
    var length = lengths.top
    while lengths.bound(length, options) < candidate.count { length -= 1 }
    keepBetter(length, &draft)
  }

  /// Levels of a tree add up to 1 each; in floating point, to a little more at worst.
  private static let roundingMax = 1e-9

  private mutating func considerTrees(
    _ lengths: Class, peak: Int, _ indexes: [AnyHistoryIndex], _ options: DraftOptions,
    into draft: inout Draft
  ) {
    let levelsAtPeak = growTree(lengths, peak, indexes, options, into: &draft)
    let budgetAtPeak = options.budget(matchLength: peak)
    // Shorter matches than the peak cannot gain by going deeper: a tree of B tokens has at most B
    // levels, and if their budget exceeded the levels at the peak, the peak would be one of them.
    // Longer matches: the same tree if the budget is the same and the levels suffice, otherwise
    // another one that has to be grown, unless it cannot be better.
    for length in stride(from: lengths.top, to: peak, by: -1) {
      if lengths.depth - length >= levelsAtPeak,
        options.budget(matchLength: length) == budgetAtPeak
      {
        if draft.matchLength == peak { draft.matchLength = length }
        return
      }
      if Double(lengths.bound(length, options)) + Self.roundingMax >= draft.score {
        _ = growTree(lengths, length, indexes, options, into: &draft)
      }
    }
  }

  /// Returns how many levels the tree has.
  private mutating func growTree(
    _ lengths: Class, _ length: Int, _ indexes: [AnyHistoryIndex], _ options: DraftOptions,
    into draft: inout Draft
  ) -> Int {
    candidate.removeAll()
    let levels = tree.grow(
      from: lociByLength.list(lengths.list(length)), indexes,
      tokensMax: options.budget(matchLength: length), levelsMax: lengths.depth - length,
      probabilityMin: options.minProbability, into: &candidate)
    keepBetter(length, &draft)
    return levels
  }

  private mutating func keepBetter(_ length: Int, _ draft: inout Draft) {
    if candidate.isEmpty { return }
    candidate.matchLength = length
    if candidate.score > draft.score
      || (candidate.score == draft.score && length > draft.matchLength)
    {
      swap(&candidate, &draft)
    }
  }
}
