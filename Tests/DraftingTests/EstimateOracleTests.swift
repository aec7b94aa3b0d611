import Drafting
import RepriseModel
import SuffixIndex
import TestSupport
import Testing

/// Compares the drafts of `EstimateDrafter`, over any division of a history, with the policy as it is
/// written down, over a dictionary of n-grams: equal tokens, parents and bits of probability.
@Suite struct EstimateOracleTests {
  @Test(arguments: [false, true]) func draftsEqualTheNaiveEstimates(tree: Bool) throws {
    var drafted = 0
    let seeds = Effort.seeds(3000)
    for seed in seeds {
      var generator = SeededGenerator(seed: seed)
      let depth = Int.random(in: 2...16, using: &generator)
      let alphabet = Int32([2, 3, 4, 8, 12, 40].randomElement(using: &generator)!)
      let sequences = (0..<Int.random(in: 1...8, using: &generator)).map { _ in
        generator.tokens(count: Int.random(in: 1...60, using: &generator), alphabet: alphabet)
      }
      var options = DraftOptions(
        policy: .estimate, maxTokens: [0, 1, 3, 8, 32].randomElement(using: &generator)!,
        minProbability: [0, 0.01, 0.05, 0.1, 0.3, 0.5, 1].randomElement(using: &generator)!,
        minMatch: [1, 1, 1, 2, 3, 5].randomElement(using: &generator)!, tree: tree,
        vocabulary: [.max, .max, alphabet / 2 + 1].randomElement(using: &generator)!)
      if options.minProbability < 0.05 { options.maxTokens = min(options.maxTokens, 8) }
      drafted += try compare(sequences, alphabet, depth: depth, options, seed, &generator)
    }
    #expect(drafted > 3 * seeds.count, "the cases must draft something to compare")
  }

  /// Patterns with many children of very different counts: in one index a child is among the
  /// frequent ones, in another one it is too rare to be listed.
  @Test(arguments: [false, true]) func childrenThatAreRareInOneIndexAreCounted(tree: Bool) throws {
    var drafted = 0
    let seeds = Effort.seeds(300, atLeast: 30)
    for seed in seeds {
      var generator = SeededGenerator(seed: seed)
      let alphabet = Int32.random(in: 9...40, using: &generator)
      let sequences = (0..<6).map { _ in
        // Each sequence prefers other tokens.
        let shift = Int32.random(in: 0..<alphabet, using: &generator)
        return (0..<300).map { _ in
          let rank = (0..<3).map { _ in Int32.random(in: 0..<alphabet, using: &generator) }.min()!
          return (rank + shift / 4) % alphabet
        }
      }
      let options = DraftOptions(
        policy: .estimate, maxTokens: 8, minProbability: 0.005, tree: tree)
      let depth = Int.random(in: 2...3, using: &generator)
      drafted += try compare(sequences, alphabet, depth: depth, options, seed, &generator)
    }
    #expect(drafted > 3 * seeds.count, "the cases must draft something to compare")
  }

  /// The longest draft bounds the time for which a client makes others wait.
  @Test func noDraftIsLongerThanItMayBe() {
    var generator = SeededGenerator(seed: 1)
    let index = GrowingIndex(depth: 8)
    for _ in 0..<40 {
      var tail = GrowingIndex.Tail()
      index.extend(&tail, by: generator.tokens(count: 60, alphabet: 6).span)
    }
    var drafter = EstimateDrafter()
    var draft = Draft()
    drafter.draft(
      from: [DraftHistory(.shared, indexes: 0..<1)], [.growing(index.reader)],
      matches: [index.reader.match([1, 2].span)],
      options: DraftOptions(maxTokens: 1024, minProbability: 0, tree: true), into: &draft)
    #expect(draft.count == 256)
    withExtendedLifetime(index) {}
  }

  /// Compares the drafts after some contexts. Returns the number of drafted tokens.
  private func compare(
    _ sequences: [[Int32]], _ alphabet: Int32, depth: Int, _ options: DraftOptions, _ seed: UInt64,
    _ generator: inout SeededGenerator
  ) throws -> Int {
    let shared = NGramOracle(depth: depth, sequences: sequences)
    let history = try DraftOracleTests.CutHistory(sequences, depth: depth, using: &generator)
    var drafter = EstimateDrafter()
    var draft = Draft()
    var drafted = 0
    for _ in 0..<6 {
      let context = generator.context(following: sequences, alphabet: alphabet)
      let local = LocalHistory(depth: depth)
      local.append(context.span)
      let end = local.end
      let indexes = [end.index] + history.indexes
      drafter.draft(
        from: [
          DraftHistory(.local, indexes: 0..<1), DraftHistory(.shared, indexes: 1..<indexes.count),
        ], indexes, matches: [end.match] + history.indexes.map { $0.match(context.span) },
        options: options, into: &draft)
      let expected = NaiveEstimate(options).draft(
        from: [.local(NGramOracle(depth: depth, sequences: [context])), .shared(shared)],
        context: context)
      #expect(
        expected.isEqual(to: draft),
        """
        seed \(seed), depth \(depth), \(options), context \(context), sequences \(sequences)
        \(draft)
        \(expected)
        """)
      drafted += draft.count
      withExtendedLifetime(local) {}
    }
    withExtendedLifetime(history) {}
    return drafted
  }
}
