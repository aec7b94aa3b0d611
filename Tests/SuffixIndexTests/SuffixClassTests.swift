import SuffixIndex
import TestSupport
import Testing

/// Compares going from one class of match lengths to the next with dropping token by token, and
/// both with the oracle's counts.
@Suite struct SuffixClassTests {
  @Test func classesAreWhatShorteningFinds() throws {
    for seed in Effort.seeds(600, atLeast: 100) {
      var generator = SeededGenerator(seed: seed)
      let depth = Int.random(in: 2...24, using: &generator)
      let alphabet = Int32([2, 4, 20, 60].randomElement(using: &generator)!)
      let sequences = (0..<Int.random(in: 1...4, using: &generator)).map { _ in
        generator.tokens(count: Int.random(in: 1...80, using: &generator), alphabet: alphabet)
      }
      let oracle = NGramOracle(depth: depth, sequences: sequences)
      // A context that follows one of the sequences, so that matches get long, and leaves it.
      let along = sequences.randomElement(using: &generator)!
      let context = along + generator.tokens(count: 20, alphabet: alphabet + 1) + along.suffix(30)
      let growing = grown(sequences, depth: depth)
      let sealed = try SealedFixture(sequences, depth: depth)
      if let difference = difference(growing.reader, oracle, context)
        ?? difference(sealed.index.reader, oracle, context)
      {
        Issue.record("seed \(seed), depth \(depth), \(sequences), \(context): \(difference)")
        return
      }
    }
  }

  private func difference(
    _ index: some HistoryIndex, _ oracle: NGramOracle, _ context: [Int32]
  ) -> String? {
    var match = index.start
    for end in context.indices {
      index.advance(&match, by: context[end])
      var shorter = match
      while shorter.length > 0 {
        let pattern = Array(context[(end + 1 - Int(shorter.length))...end])
        if Int(shorter.count) != oracle.count(pattern) { return "\(pattern) has \(shorter)" }
        if let wrong = classDifference(index, shorter) { return "\(pattern): \(wrong)" }
        index.shorten(&shorter)
      }
    }
    return nil
  }

  /// The class of one pattern, and its end, found token by token.
  private func classDifference(_ index: some HistoryIndex, _ cursor: MatchCursor) -> String? {
    var shorter = cursor
    while shorter.length > 1 {
      index.shorten(&shorter)
      if shorter.count != cursor.count { break }
      let suffix = index.suffix(of: cursor, length: shorter.length)
      if suffix != shorter { return "suffix \(suffix), expected \(shorter)" }
    }
    let wider = shorter.count == cursor.count ? nil : shorter
    for lengthMin in 1...max(1, cursor.length) {
      let expected = wider.flatMap { $0.length >= lengthMin ? $0 : nil }
      let found = index.widened(cursor, lengthMin: lengthMin)
      if found != expected {
        return "at least \(lengthMin): \(String(describing: found)), expected "
          + String(describing: expected)
      }
    }
    return nil
  }

  /// A cursor that has followed a text for a long way has no node near it, and finds one again.
  @Test func aLongWalkAlongOneTextIsLeftAnywhere() throws {
    var generator = SeededGenerator(seed: 7)
    let text = generator.tokens(count: 400, alphabet: 500)
    let sequences = [text, Array(text[100..<140]) + [777], [5, 6, 7]]
    let oracle = NGramOracle(depth: 16, sequences: sequences)
    let sealed = try SealedFixture(sequences, depth: 16)
    for leave in stride(from: 1, to: text.count, by: 7) {
      var match = sealed.index.reader.start
      for token in text[..<leave] { sealed.index.reader.advance(&match, by: token) }
      for token in [777, 5, 6] as [Int32] { sealed.index.reader.advance(&match, by: token) }
      #expect(Int(match.length) == oracle.matchLength(text[..<leave] + [777, 5, 6]))
    }
  }
}
