import Drafting
import RepriseModel
import SuffixIndex
import TestSupport
import Testing

/// Compares drafts over any division of a history with a drafter that tries every match length
/// upward.
@Suite struct DraftOracleTests {
  /// A history cut into indexes of both kinds at random.
  struct CutHistory {
    var indexes: [AnyHistoryIndex] = []
    var growing: [GrowingIndex] = []
    var sealed: [(SealedIndex, SealedImageBuffer)] = []

    init(_ sequences: [[Int32]], depth: Int, using generator: inout SeededGenerator) throws {
      let parts = Int.random(in: 1...4, using: &generator)
      var cut = [[[Int32]]](repeating: [], count: parts)
      for sequence in sequences { cut[Int.random(in: 0..<parts, using: &generator)] += [sequence] }
      for part in cut {
        if Bool.random(using: &generator) {
          let index = GrowingIndex(depth: depth)
          for sequence in part {
            var tail = GrowingIndex.Tail()
            index.extend(&tail, by: sequence.span)
          }
          growing.append(index)
          indexes.append(.growing(index.reader))
        } else {
          var builder = SealedIndexBuilder(depth: depth)
          for sequence in part { builder.append(sequence.span) }
          let buffer = builder.build()
          let index = try SealedIndex(buffer.image)
          sealed.append((index, buffer))
          indexes.append(.sealed(index.reader))
        }
      }
    }
  }

  @Test(arguments: [false, true]) func draftsEqualTheNaiveDrafters(tree: Bool) throws {
    var drafted = 0
    let seeds = Effort.seeds(3000)
    for seed in seeds {
      var generator = SeededGenerator(seed: seed)
      let depth = Int.random(in: 2...16, using: &generator)
      let alphabet = Int32([2, 3, 4, 8, 40].randomElement(using: &generator)!)
      let sequences = (0..<Int.random(in: 1...6, using: &generator)).map { _ in
        generator.tokens(count: Int.random(in: 1...60, using: &generator), alphabet: alphabet)
      }
      var naive = NaiveDrafter()
      naive.tree = tree
      naive.maxTokens = [0, 1, 3, 8, 32].randomElement(using: &generator)!
      naive.maxFactor = [0, 0.1, 0.5, 0.75, 1, 1.5, 4].randomElement(using: &generator)!
      naive.maxOffset = [-2, 0, 0, 0.5, 3].randomElement(using: &generator)!
      naive.minProbability = [0, 0.05, 0.1, 0.3, 0.5, 1].randomElement(using: &generator)!
      naive.minMatch = [1, 1, 1, 2, 3, 5].randomElement(using: &generator)!
      let options = DraftOptions(
        maxTokens: naive.maxTokens, maxFactor: naive.maxFactor, maxOffset: naive.maxOffset,
        minProbability: naive.minProbability, minMatch: naive.minMatch, tree: tree)

      let oracle = NGramOracle(depth: depth, sequences: sequences)
      let history = try CutHistory(sequences, depth: depth, using: &generator)
      var drafter = Drafter()
      var draft = Draft()
      for _ in 0..<8 {
        let context = generator.context(following: sequences, alphabet: alphabet)
        let matches = history.indexes.map { $0.match(context.span) }
        drafter.draft(
          from: history.indexes, matches: matches, options: options, into: &draft)
        let expected = naive.draft(from: oracle, context: context)
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
      }
      withExtendedLifetime(history) {}
    }
    #expect(drafted > 3 * seeds.count, "the cases must draft something to compare")
  }

  /// A token at or above the vocabulary leaves the draft that was found, with all that follows it.
  @Test(arguments: [false, true]) func noDraftedTokenIsBeyondTheVocabulary(tree: Bool) throws {
    var removed = 0
    let seeds = Effort.seeds(500, atLeast: 100)
    for seed in seeds {
      var generator = SeededGenerator(seed: seed)
      let sequences = (0..<4).map { _ in generator.tokens(count: 40, alphabet: 6) }
      let history = try CutHistory(sequences, depth: 12, using: &generator)
      var options = DraftOptions(maxFactor: 4, minProbability: 0.05, tree: tree)
      let context = generator.tokens(count: 6, alphabet: 6)
      let matches = history.indexes.map { $0.match(context.span) }
      var drafter = Drafter()
      var (whole, draft) = (Draft(), Draft())
      drafter.draft(from: history.indexes, matches: matches, options: options, into: &whole)
      options.vocabulary = Int32.random(in: 1...7, using: &generator)
      drafter.draft(from: history.indexes, matches: matches, options: options, into: &draft)
      // The nodes that are below the bound, with all their ancestors, by their paths.
      func paths(_ draft: Draft, below bound: Int32) -> [[Int32]: (Float, Int)] {
        var paths: [[Int32]: (Float, Int)] = [:]
        for place in 0..<draft.count {
          var path: [Int32] = []
          var node = Int32(place)
          while node >= 0 {
            path.insert(draft.tokens[Int(node)], at: 0)
            node = draft.parents[Int(node)]
          }
          if path.allSatisfy({ $0 < bound }) {
            paths[path] = (draft.probs[place], draft.counts[place])
          }
        }
        return paths
      }
      let expected = paths(whole, below: options.vocabulary)
      let got = paths(draft, below: .max)
      #expect(
        got.count == draft.count
          && got.keys.sorted(by: { $0.lexicographicallyPrecedes($1) })
            == expected.keys.sorted(by: { $0.lexicographicallyPrecedes($1) }),
        "seed \(seed)")
      for (path, values) in got {
        #expect(expected[path].map { $0 == values } == true, "seed \(seed)")
      }
      let sum = draft.probs.reduce(0.0) { $0 + Double($1) }
      #expect(abs(draft.score - sum) < 1e-4, "seed \(seed)")
      #expect(draft.matchLength == (draft.isEmpty ? 0 : whole.matchLength))
      if draft.count == whole.count { #expect(draft == whole) }
      removed += whole.count - draft.count
      withExtendedLifetime(history) {}
    }
    #expect(removed > seeds.count / 4)
  }

  /// Histories that change too often for the dictionary are counted by scanning their text.
  @Test(arguments: [false, true]) func theScannedHistoryDraftsAsTheDictionary(tree: Bool) {
    for seed in Effort.seeds(500, atLeast: 100) {
      var generator = SeededGenerator(seed: seed)
      let depth = Int.random(in: 2...12, using: &generator)
      let alphabet = Int32([2, 3, 8, 40].randomElement(using: &generator)!)
      let sequences = (0..<Int.random(in: 0...6, using: &generator)).map { _ in
        generator.tokens(count: Int.random(in: 1...60, using: &generator), alphabet: alphabet)
      }
      var naive = NaiveDrafter()
      naive.tree = tree
      naive.maxFactor = [0.5, 1, 4].randomElement(using: &generator)!
      let dictionary = NGramOracle(depth: depth, sequences: sequences)
      let scanned = ScannedHistory(depth: depth, sequences: sequences)
      for _ in 0..<8 {
        let context = generator.tokens(count: 20, alphabet: alphabet)
        #expect(
          naive.draft(from: scanned, context: context)
            == naive.draft(from: dictionary, context: context), "seed \(seed), \(context)")
      }
      for (pattern, count) in dictionary.counts { #expect(scanned.count(pattern) == count) }
    }
  }

  @Test func budgetIsThePapers() {
    let options = DraftOptions(maxTokens: 8, maxFactor: 0.1, maxOffset: 0)
    #expect(options.budget(matchLength: 30) == 3)
    #expect(options.budget(matchLength: 29) == 2)
    #expect(options.budget(matchLength: 1000) == 8)
    #expect(DraftOptions(maxOffset: -5).budget(matchLength: 3) == 0)
    #expect(DraftOptions(maxFactor: 1e300).budget(matchLength: 1) == 32)
  }

  /// Local history drafts from the end of its own sequence, which is itself an occurrence.
  @Test func localHistoryCountsItsOwnEnd() {
    let local = LocalHistory(depth: 8)
    local.append([1, 2, 3, 9, 1, 2, 3].span)
    var drafter = Drafter()
    var draft = Draft()
    local.draft(DraftOptions(), using: &drafter, into: &draft)
    #expect(draft.tokens == [9, 1, 2])
    // "1 2 3" occurs twice, and once it is followed by 9.
    #expect(draft.probs == [0.5, 0.5, 0.5])
    #expect(draft.counts == [1, 1, 1])
    #expect(draft.matchLength == 3)
    #expect(draft.source == .local)
  }
}

extension SeededGenerator {
  /// Random tokens, which the beginning of one of some sequences may follow.
  mutating func context(following sequences: [[Int32]], alphabet: Int32) -> [Int32] {
    let context = tokens(count: 12, alphabet: alphabet)
    guard Bool.random(using: &self), let sequence = sequences.randomElement(using: &self) else {
      return context
    }
    return context + sequence.prefix(Int.random(in: 0...sequence.count, using: &self))
  }
}
