import RepriseModel
import SuffixIndex

/// Places tokens one by one, always the most probable that is not placed yet.
///
/// Each placed token (and the match itself) has its children listed in order. The fringe holds only
/// the first child of each list that is not placed yet: its later siblings are no more probable.
struct TreeGrower {
  /// A list of children, and the next one to use.
  private struct ListedChild: FringeEntry {
    var probability: Double
    /// Place of the parent in the draft, or −1.
    var parent: Int32
    /// Rank of the child among its siblings.
    var rank: Int32
    /// Where the list is in `children`: the child itself, and the end.
    var child: Int
    var end: Int
    /// Probability and occurrences of the parent.
    var parentProbability: Double
    var parentOccurrences: Int

    /// Orders by falling probability; then by the place of the parent; then by rank.
    func precedes(_ other: Self) -> Bool {
      if probability != other.probability { return probability > other.probability }
      return parent != other.parent ? parent < other.parent : rank < other.rank
    }
  }

  private var fringe = Fringe<ListedChild>()
  private var children: [CombinedChildren.Child] = []
  /// Loci of all children, listed with them.
  private var loci: [Locus] = []
  private var combined = CombinedChildren()
  /// The loci of the token whose children are being listed.
  private var parent: [Locus] = []
  /// Level of each placed token; those that follow the context are on level 1.
  private var levels: [Int] = []

  /// Facts about all trees over the same patterns, known once one of them is grown.
  struct Outline {
    /// The probability of the first token that was placed on each level, which is the largest there.
    var levels: [Double] = []
    /// The largest probability of a token that was listed and found no place; 0 when there is none.
    var unplaced = 0.0
    /// The probability of the token placed last. Its children were not listed if no room was left.
    var lastProbability = 0.0
    var lastLevel = 0
    /// True if growing stopped early because the tree could not become better than another one.
    var isGivenUp = false

    /// An upper bound of the probability of any token on the first `count` levels that found no
    /// place.
    func unplaced(onFirst count: Int) -> Double {
      lastLevel < count ? max(unplaced, lastProbability) : unplaced
    }
  }

  private(set) var outline = Outline()

  /// Exchanges the outline of the last tree for `other`, whose storage the next tree uses.
  mutating func takeOutline(_ other: inout Outline) { swap(&outline, &other) }

  /// Appends up to `tokensMax` tokens, on at most `levelsMax` levels, to an empty draft, as long as
  /// it may still score `scoreMin`.
  ///
  /// - Complexity: O(tokens · (indexes + log tokens)) index steps.
  mutating func grow(
    from start: [Locus], _ indexes: [AnyHistoryIndex], tokensMax: Int,
    levelsMax: Int, probabilityMin: Double, scoreMin: Double, into draft: inout Draft
  ) {
    outline.levels.removeAll(keepingCapacity: true)
    outline.unplaced = 0
    outline.lastProbability = 0
    outline.isGivenUp = false
    fringe.removeAll()
    children.removeAll(keepingCapacity: true)
    loci.removeAll(keepingCapacity: true)
    levels.removeAll(keepingCapacity: true)
    if tokensMax == 0 { return }

    parent.removeAll(keepingCapacity: true)
    for position in start.indices { parent.append(start[position]) }
    var next = expand(
      -1, probability: 1, tokensLeft: tokensMax, indexes, probabilityMin: probabilityMin)
    while draft.count < tokensMax, let chosen = next ?? fringe.pop() {
      next = nil
      // Tokens are placed by falling probability.
      if draft.score + chosen.probability * Double(tokensMax - draft.count) < scoreMin {
        outline.isGivenUp = true
        return
      }
      let child = children[chosen.child]
      draft.append(
        token: child.token, parent: chosen.parent, probability: chosen.probability,
        count: child.count)
      if let sibling = sibling(of: chosen, probabilityMin: probabilityMin) { fringe.push(sibling) }
      let level = chosen.parent < 0 ? 1 : levels[Int(chosen.parent)] + 1
      levels.append(level)
      if level > outline.levels.count { outline.levels.append(chosen.probability) }
      outline.lastProbability = chosen.probability
      outline.lastLevel = level
      if level < levelsMax && draft.count < tokensMax {
        parent.removeAll(keepingCapacity: true)
        for locus in child.firstLocus..<(child.firstLocus + child.lociCount) {
          parent.append(loci[Int(locus)])
        }
        next = expand(
          Int32(draft.count - 1), probability: chosen.probability,
          tokensLeft: tokensMax - draft.count, indexes, probabilityMin: probabilityMin)
        // Along a path the first child is the next token, and need not go through the fringe.
        if let first = next, let other = fringe.first, !first.precedes(other) {
          fringe.push(first)
          next = nil
        }
      }
    }
    // The token that would have been next, had there been room.
    if let next { fringe.push(next) }
    if let next = fringe.first { outline.unplaced = next.probability }
  }

  /// Lists the children of a placed token (or of the match, −1), whose loci stand in `parent`, and
  /// returns the first, if it is probable enough.
  private mutating func expand(
    _ place: Int32, probability: Double, tokensLeft: Int, _ indexes: [AnyHistoryIndex],
    probabilityMin: Double
  ) -> ListedChild? {
    var occurrences = 0
    for position in parent.indices { occurrences += Int(parent[position].cursor.count) }
    let needed = countMin(
      occurrences: occurrences, probability: probability, probabilityMin: probabilityMin)
    let first = children.count
    combined.append(
      of: parent, indexes, countMin: needed, limit: tokensLeft, to: &children, &loci)
    return sibling(
      of: ListedChild(
        probability: 0, parent: place, rank: -1, child: first - 1, end: children.count,
        parentProbability: probability, parentOccurrences: occurrences),
      probabilityMin: probabilityMin)
  }

  /// The next child of the same list, if it is probable enough.
  private func sibling(of entry: ListedChild, probabilityMin: Double) -> ListedChild? {
    var next = entry
    next.child += 1
    next.rank += 1
    if next.child == next.end { return nil }
    next.probability =
      entry.parentProbability
      * (Double(children[next.child].count) / Double(entry.parentOccurrences))
    return next.probability < probabilityMin ? nil : next
  }
}
