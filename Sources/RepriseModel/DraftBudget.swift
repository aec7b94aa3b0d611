/// Divides a number of tokens among the drafts of a batch, so that the most probable tokens of all of them
/// are verified.
///
/// The probabilities of a draft never rise from one token to the next, and parents stand before their
/// children. The most probable tokens of a draft are therefore its first ones, and what is kept is the draft
/// that one least probability for the whole batch would have given, up to tokens of equal probability.
public enum DraftBudget {
  /// The tokens that a batch may be given: far more than a model verifies in one step.
  public static let range = 0...(1 << 16)

  /// The number of tokens to keep of each draft. Equal probabilities: the earlier draft comes first.
  ///
  /// - Complexity: O(drafts · log tokens), whatever the budget: the bits of the least probability are
  ///   found one after the other.
  public static func shares(of budget: Int, among drafts: [Draft]) -> [Int] {
    // Tokens before `kept` are more probable than the least, those from `ends` on less.
    var kept = [Int](repeating: 0, count: drafts.count)
    var ends = drafts.map(\.count)
    var left = budget
    if ends.reduce(0, +) <= left { return ends }
    // Positive numbers are ordered like their bits.
    var bits = UInt32.zero..<Float(1).nextUp.bitPattern
    while bits.count > 1 {
      let middle = bits.lowerBound + UInt32(bits.count / 2)
      let least = Float(bitPattern: middle)
      let counts = drafts.indices.map { place in
        firstPlace(in: drafts[place].probs, from: kept[place], to: ends[place], below: least)
      }
      let added = zip(counts, kept).reduce(0) { $0 + $1.0 - $1.1 }
      if added <= left {
        left -= added
        kept = counts
        bits = bits.lowerBound..<middle
      } else {
        ends = counts
        bits = middle..<bits.upperBound
      }
    }
    // The tokens in between are equally probable.
    for place in drafts.indices {
      let added = min(left, ends[place] - kept[place])
      kept[place] += added
      left -= added
    }
    return kept
  }

  /// The first place whose probability is below `least`, by bisection.
  private static func firstPlace(
    in probs: [Float], from start: Int, to end: Int, below least: Float
  ) -> Int {
    var (start, end) = (start, end)
    while start < end {
      let middle = (start + end) / 2
      if probs[middle] < least { end = middle } else { start = middle + 1 }
    }
    return start
  }
}
