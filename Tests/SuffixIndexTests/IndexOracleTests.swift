import SuffixIndex
import TestSupport
import Testing

/// Compares both indexes with a dictionary of n-grams: the invariant on which everything rests.
@Suite struct IndexOracleTests {
  @Test func growingIndexEqualsOracleOnEverySmallInput() {
    for sequence in allSequences(upTo: 8, alphabet: 3) {
      let index = grown([sequence], depth: 4)
      let oracle = NGramOracle(depth: 4, sequences: [sequence])
      let context = Array(sequence.reversed())
      if let difference = firstDifference(index.reader, oracle, context: context, alphabet: 3) {
        Issue.record("\(sequence): \(difference)")
        return
      }
      index.checkInvariants()
    }
  }

  @Test func sealedIndexEqualsOracleOnEverySmallInput() throws {
    for sequence in allSequences(upTo: 8, alphabet: 3) {
      // Two sequences, so that patterns would run across a separator that failed.
      let sequences = [sequence, Array(sequence.prefix(3))]
      let fixture = try SealedFixture(sequences, depth: 4)
      let oracle = NGramOracle(depth: 4, sequences: sequences)
      let context = Array(sequence.reversed())
      if let difference = firstDifference(
        fixture.index.reader, oracle, context: context, alphabet: 3)
      {
        Issue.record("\(sequence): \(difference)")
        return
      }
    }
  }

  /// 2,000 seeded cases: 1 to 5 interleaved sequences, depths from 2 up, alphabets up to more
  /// symbols than a scanned or ranked node holds.
  @Test func bothIndexesEqualOracleOnRandomInput() throws {
    for seed in Effort.seeds(2000) {
      var generator = SeededGenerator(seed: seed)
      let depth = Int.random(in: 2...12, using: &generator)
      let alphabet = Int32([2, 3, 5, 12, 30, 60].randomElement(using: &generator)!)
      let sequences = (0..<Int.random(in: 1...5, using: &generator)).map { _ in
        generator.tokens(
          count: Int.random(in: 1...60, using: &generator), alphabet: alphabet)
      }
      let oracle = NGramOracle(depth: depth, sequences: sequences)
      let context = generator.tokens(count: 40, alphabet: alphabet + 1)

      let growing = GrowingIndex(depth: depth)
      growInterleaved(sequences, into: growing, using: &generator)
      growing.checkInvariants()
      let sealed = try SealedFixture(sequences, depth: depth)
      if let difference = firstDifference(
        growing.reader, oracle, context: context, alphabet: alphabet)
        ?? firstDifference(
          sealed.index.reader, oracle, context: context, alphabet: alphabet)
      {
        Issue.record("seed \(seed), depth \(depth), \(sequences): \(difference)")
        return
      }
    }
  }

  /// Nodes with so many children that slots of the hash collide, and a search for a node may meet a
  /// leaf.
  @Test func crowdedNodesEqualOracle() throws {
    for alphabet: Int32 in [30, 90] {
      var generator = SeededGenerator(seed: UInt64(alphabet))
      let text = (0..<6000).map { _ in Int32.random(in: 0..<alphabet, using: &generator) }
      let oracle = NGramOracle(depth: 3, sequences: [text])
      let sealed = try SealedFixture([text], depth: 3)
      let growing = grown([text], depth: 3)
      growing.checkInvariants()
      let context = generator.tokens(count: 50, alphabet: alphabet)
      if let difference = firstDifference(
        sealed.index.reader, oracle, context: context, alphabet: 5)
        ?? firstDifference(growing.reader, oracle, context: context, alphabet: 5)
      {
        Issue.record("alphabet \(alphabet): \(difference)")
        return
      }
    }
  }

  @Test func removedSequencesLeaveNoTrace() {
    for seed in Effort.seeds(500, atLeast: 100) {
      var generator = SeededGenerator(seed: seed)
      let depth = Int.random(in: 2...8, using: &generator)
      let alphabet = Int32([2, 4, 40].randomElement(using: &generator)!)
      var sequences = (0..<6).map { _ in
        generator.tokens(count: Int.random(in: 1...80, using: &generator), alphabet: alphabet)
      }
      let index = grown(sequences, depth: depth)
      var oracle = NGramOracle(depth: depth, sequences: sequences)
      for round in 0..<3 {
        let removed = sequences.remove(
          at: Int.random(in: 0..<sequences.count, using: &generator))
        index.remove(removed.span)
        oracle.remove(removed)
        if round == 1 {
          let added = generator.tokens(count: 30, alphabet: alphabet)
          var tail = GrowingIndex.Tail()
          index.extend(&tail, by: added.span)
          oracle.add(added)
          sequences.append(added)
        }
        index.checkInvariants()
        let context = generator.tokens(count: 20, alphabet: alphabet)
        if let difference = firstDifference(
          index.reader, oracle, context: context, alphabet: alphabet)
        {
          Issue.record("seed \(seed), round \(round): \(difference)")
          return
        }
      }
    }
  }

  /// A cursor that was found before others wrote, once refreshed, equals one that is found
  /// afterwards.
  @Test func refreshedCursorsEqualNewOnes() {
    for seed in Effort.seeds(500, atLeast: 100) {
      var generator = SeededGenerator(seed: seed)
      let depth = Int.random(in: 3...10, using: &generator)
      let alphabet = Int32.random(in: 2...4, using: &generator)
      let index = GrowingIndex(depth: depth)
      var tails = [GrowingIndex.Tail(), GrowingIndex.Tail()]
      var context: [Int32] = []
      var cursor = index.reader.start
      for step in 0..<120 {
        for _ in 0..<Int.random(in: 0...3, using: &generator) {
          let writer = Int.random(in: 0...1, using: &generator)
          index.extend(&tails[writer], by: Int32.random(in: 0..<alphabet, using: &generator))
        }
        index.reader.refresh(&cursor, context: context.span)
        let anew = index.reader.match(context.span)
        if cursor.length != anew.length || (!cursor.isEmpty && cursor != anew) {
          Issue.record("seed \(seed), step \(step): \(cursor) after \(context)")
          return
        }
        context.append(Int32.random(in: 0..<alphabet, using: &generator))
        index.reader.advance(&cursor, by: context[context.count - 1])
      }
    }
  }
}
