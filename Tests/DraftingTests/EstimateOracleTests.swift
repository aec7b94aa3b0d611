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
        tree: tree,
        vocabulary: [.max, .max, alphabet / 2 + 1].randomElement(using: &generator)!)
      if options.minProbability < 0.05 { options.maxTokens = min(options.maxTokens, 8) }

      let shared = NGramOracle(depth: depth, sequences: sequences)
      let history = try DraftOracleTests.CutHistory(sequences, depth: depth, using: &generator)
      var drafter = EstimateDrafter()
      var draft = Draft()
      for _ in 0..<6 {
        let context = generator.context(following: sequences, alphabet: alphabet)
        let local = GrowingIndex(depth: depth)
        var tail = GrowingIndex.Tail()
        local.extend(&tail, by: context.span)
        let indexes = [.growing(local.reader)] + history.indexes
        let matches = [local.match(at: tail)] + history.indexes.map { $0.match(context.span) }
        drafter.draft(
          from: [
            DraftHistory(.local, indexes: 0..<1), DraftHistory(.shared, indexes: 1..<indexes.count),
          ], indexes, matches: matches, options: options, into: &draft)
        let expected = NaiveEstimate(options).draft(
          from: [
            .local(NGramOracle(depth: depth, sequences: [context])), .shared(shared),
          ], context: context)
        if !expected.isEqual(to: draft) {
          Issue.record(
            """
            seed \(seed), depth \(depth), \(options), context \(context), sequences \(sequences)
            \(draft)
            \(expected)
            """)
          return
        }
        drafted += draft.count
        withExtendedLifetime(local) {}
      }
      withExtendedLifetime(history) {}
    }
    #expect(drafted > 3 * seeds.count, "the cases must draft something to compare")
  }
}
