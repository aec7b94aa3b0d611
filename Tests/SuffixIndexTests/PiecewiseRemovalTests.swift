import SuffixIndex
import TestSupport
import Testing

/// Sequences that are removed from their ends, in pieces, while others are written.
@Suite struct PiecewiseRemovalTests {
  /// After each piece the index is that of the history with a shorter sequence.
  @Test func eachPieceLeavesAShorterSequence() {
    for seed in Effort.seeds(200, atLeast: 40) {
      var generator = SeededGenerator(seed: seed)
      let depth = Int.random(in: 2...9, using: &generator)
      let alphabet = Int32([1, 2, 4, 40].randomElement(using: &generator)!)
      let index = GrowingIndex(depth: depth)
      // The sequences in the index; the first are removed, the others grow.
      var sequences = (0..<5).map { _ in
        generator.tokens(count: Int.random(in: 0...50, using: &generator), alphabet: alphabet)
      }
      var tails = sequences.map { _ in GrowingIndex.Tail() }
      for (place, sequence) in sequences.enumerated() {
        index.extend(&tails[place], by: sequence.span)
      }
      for step in 0..<12 {
        let removals = index.removals
        let shrinking = Int.random(in: 0...1, using: &generator)
        let count = Int.random(in: 0...min(14, sequences[shrinking].count), using: &generator)
        let standing = sequences[shrinking]
        index.removeLast(count, of: standing.span)
        sequences[shrinking].removeLast(count)
        #expect(index.removals == removals + 1)
        for _ in 0..<Int.random(in: 0...12, using: &generator) {
          let growing = Int.random(in: 2...4, using: &generator)
          let token = Int32.random(in: 0..<alphabet, using: &generator)
          index.extend(&tails[growing], by: token)
          sequences[growing].append(token)
        }
        index.checkInvariants()
        #expect(index.tokenCount == sequences.joined().count)
        let context = generator.tokens(count: 15, alphabet: alphabet)
        if let difference = firstDifference(
          index.reader, NGramOracle(depth: depth, sequences: sequences), context: context,
          alphabet: alphabet)
        {
          Issue.record("seed \(seed), step \(step): \(difference)")
          return
        }
      }
    }
  }

  @Test func removingMoreThanThereIsTraps() async {
    await #expect(processExitsWith: .failure) {
      let index = GrowingIndex(depth: 4)
      var tail = GrowingIndex.Tail()
      let tokens: [Int32] = [1, 2, 3]
      index.extend(&tail, by: tokens.span)
      index.removeLast(4, of: tokens.span)
    }
    await #expect(processExitsWith: .failure) {
      let index = GrowingIndex(depth: 4)
      let tokens: [Int32] = [1, 2, 3]
      index.removeLast(1, of: tokens.span)
    }
  }
}
