import RepriseModel
import SuffixIndex

/// Follows the most frequent child from token to token.
struct PathWalker {
  private var loci: [Locus] = []
  private var next: [Locus] = []
  private var children = CombinedChildren()

  /// Appends up to `tokensMax` tokens to an empty draft, as long as their probability is at least
  /// `probabilityMin` and the draft may still score `scoreMin`.
  ///
  /// - Complexity: O(tokens · indexes) index steps.
  mutating func walk(
    from start: [Locus], _ indexes: [AnyHistoryIndex], tokensMax: Int,
    probabilityMin: Double, scoreMin: Double, into draft: inout Draft
  ) {
    loci.removeAll(keepingCapacity: true)
    var occurrences = 0
    for position in start.indices {
      loci.append(start[position])
      occurrences += Int(start[position].cursor.count)
    }
    var probability = 1.0
    while draft.count < tokensMax {
      let needed = countMin(
        occurrences: occurrences, probability: probability, probabilityMin: probabilityMin)
      guard
        let child = children.first(of: loci, indexes, countMin: needed, children: &next)
      else { return }
      probability *= Double(child.count) / Double(occurrences)
      if probability < probabilityMin { return }
      // None of the tokens that follow is more probable than this one.
      if draft.score + probability * Double(tokensMax - draft.count) < scoreMin { return }
      draft.append(
        token: child.token, parent: Int32(draft.count - 1), probability: probability,
        count: child.count)
      occurrences = child.count
      swap(&loci, &next)
    }
  }
}

/// A count below which no child can reach the least probability. It is rounded down by more than
/// the rounding error of floating point; the probability itself decides.
func countMin(occurrences: Int, probability: Double, probabilityMin: Double) -> Int {
  let needed = probabilityMin / probability * Double(occurrences) * (1 - 1e-9)
  return max(1, Int(needed.rounded(.up)))
}
