import CorpusStore
import HistoryEngine
import RepriseModel
import TestSupport
import ToolSupport

/// Compares a corpus's drafts with those of the oracle over the corpus's content.
struct DraftComparison {
  private let depth: Int
  private var generator: SeededGenerator
  /// Kept from point to point, and updated by the differences: from one state of a store to the
  /// next they are few.
  private var oracles: [String: (oracle: NGramOracle, held: [[Int32]: Int])] = [:]
  private var scratch = DraftScratch()
  /// The number of drafts compared since it was last set to 0.
  var compared = 0

  /// The number of contexts for each corpus, each with a path and a tree.
  private static let contexts = 20

  init(depth: Int, seed: UInt64) {
    self.depth = depth
    generator = SeededGenerator(seed: seed)
  }

  /// Returns a sentence for each draft that differs from the oracle's.
  mutating func differences(_ corpus: Corpus, _ entries: [KeptSequence]) throws -> [String] {
    let sequences = entries.map(\.text)
    let oracle = oracle(of: corpus.name.text, holding: sequences)
    var differences: [String] = []
    var draft = Draft()
    for number in 0..<(2 * Self.contexts) {
      var naive = NaiveDrafter()
      naive.tree = number % 2 == 1
      naive.maxFactor = [1, 3].randomElement(using: &generator)!
      naive.minProbability = [0.05, 0.3].randomElement(using: &generator)!
      let context = context(sequences)
      let expected = naive.draft(from: oracle, context: context)
      try corpus.speculate(
        context.span,
        DraftOptions(
          maxTokens: naive.maxTokens, maxFactor: naive.maxFactor,
          minProbability: naive.minProbability, tree: naive.tree),
        using: &scratch, into: &draft)
      compared += 1
      if draft.tokens != expected.tokens || draft.parents != expected.parents
        || draft.probs != expected.probs || draft.counts != expected.counts
        || draft.score != expected.score || draft.matchLength != expected.matchLength
      {
        differences.append(
          "corpus \(corpus.name): after \(context) the draft is \(draft.tokens) with counts "
            + "\(draft.counts), the oracle's \(expected.tokens) with \(expected.counts)")
      }
    }
    return differences
  }

  private mutating func oracle(of corpus: String, holding sequences: [[Int32]]) -> NGramOracle {
    // Removed from the dictionary, so that changing it copies nothing.
    var (oracle, held) = oracles.removeValue(forKey: corpus) ?? (NGramOracle(depth: depth), [:])
    var wanted: [[Int32]: Int] = [:]
    for sequence in sequences { wanted[sequence, default: 0] += 1 }
    for (sequence, times) in held {
      for _ in 0..<max(0, times - wanted[sequence, default: 0]) { oracle.remove(sequence) }
    }
    for (sequence, times) in wanted {
      for _ in 0..<max(0, times - held[sequence, default: 0]) { oracle.add(sequence) }
    }
    held = wanted
    oracles[corpus] = (oracle, held)
    return oracle
  }

  /// Usually a piece of the content, sometimes with a token that leads away.
  private mutating func context(_ sequences: [[Int32]]) -> [Int32] {
    guard let sequence = sequences.randomElement(using: &generator),
      Int.random(in: 0..<4, using: &generator) > 0
    else { return generator.tokens(count: 6, alphabet: LoadSetting.alphabet) }
    let end = Int.random(in: 1...sequence.count, using: &generator)
    var context = Array(sequence[max(0, end - 10)..<end])
    if Int.random(in: 0..<4, using: &generator) == 0 {
      context.append(Int32.random(in: 0..<LoadSetting.alphabet, using: &generator))
    }
    return context
  }
}
