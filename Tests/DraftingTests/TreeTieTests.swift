import Drafting
import RepriseModel
import SuffixIndex
import TestSupport
import Testing

/// Trees of one class of match lengths with equal scores although they differ: a longer match may
/// go less deep, and wins if it finds equally probable tokens elsewhere. (Counts are halves of each
/// other, so that probabilities are equal to the last bit.)
@Suite struct TreeTieTests {
  /// A number of sequences that continue a pattern, each with its own continuation.
  private func draftEqualsNaive(
    _ pattern: [Int32], _ continuations: [(count: Int, tokens: [Int32])], depth: Int,
    maxTokens: Int
  ) throws -> Draft {
    var other: Int32 = 1000
    let sequences = continuations.flatMap { continuation in
      (0..<continuation.count).map { _ in
        other += 1
        // The last token is different each time.
        return pattern + continuation.tokens + [other]
      }
    }
    let oracle = NGramOracle(depth: depth, sequences: sequences)
    var naive = NaiveDrafter()
    naive.tree = true
    naive.maxTokens = maxTokens
    naive.maxFactor = 8
    naive.minProbability = 0.1
    let options = DraftOptions(
      maxTokens: maxTokens, maxFactor: 8, minProbability: 0.1, tree: true)
    let growing = GrowingIndex(depth: depth)
    for sequence in sequences {
      var tail = GrowingIndex.Tail()
      growing.extend(&tail, by: sequence.span)
    }
    var drafter = Drafter()
    var draft = Draft()
    drafter.draft(
      from: [.growing(growing.reader)], matches: [growing.reader.match(pattern.span)],
      options: options, into: &draft)
    #expect(naive.draft(from: oracle, context: pattern).isEqual(to: draft), "\(draft)")
    withExtendedLifetime(growing) {}
    return draft
  }

  @Test func aShallowerTreeThatTiesGoesToTheLongerMatch() throws {
    // 30 follows on the third level as often as 40 on the second; there is room for one of them.
    let draft = try draftEqualsNaive(
      [1, 2, 3, 4],
      [(2, [10, 20, 30]), (6, [10, 20]), (2, [11, 40]), (2, [11]), (4, [])],
      depth: 6, maxTokens: 4)
    #expect(draft.matchLength == 4)
    #expect(draft.tokens == [10, 20, 11, 40])
  }

  @Test func unlistedChildrenMayTieToo() throws {
    // 60 follows 40 every time, so it is as probable as 50, but was never listed.
    let draft = try draftEqualsNaive(
      [1, 2, 3, 4, 5, 6],
      [
        (4, [10, 20, 30, 50]), (12, [10, 20, 30]), (4, [11, 40, 60]), (4, [11]), (8, []),
      ],
      depth: 9, maxTokens: 6)
    #expect(draft.matchLength == 6)
    #expect(draft.tokens == [10, 20, 30, 11, 40, 60])
  }
}
