import RepriseModel
import TestSupport
import Testing

@Suite struct VerifyCostTests {
  private typealias Point = VerifyCost.Point

  /// A cost, and the same by interpolation written another way.
  private struct Case {
    let cost: VerifyCost
    let time: (_ tokens: Double, _ batch: Int) -> Double

    init(_ generator: inout SeededGenerator) {
      if Bool.random(using: &generator) {
        let perToken = Double.random(in: 0...0.1, using: &generator)
        cost = VerifyCost(perToken: perToken)!
        time = { tokens, batch in 1 + perToken * (tokens - Double(batch)) }
        return
      }
      var points = [Point(tokens: Int.random(in: 1...9, using: &generator), time: 1)]
      for _ in 0..<Int.random(in: 1...5, using: &generator) {
        var next = points[points.count - 1]
        next.tokens += Int.random(in: 1...40, using: &generator)
        next.time += [0, 0, 0.01, 0.5].randomElement(using: &generator)!
        points.append(next)
      }
      cost = VerifyCost(points: points)!
      time = { tokens, _ in
        let after = points.firstIndex { Double($0.tokens) > tokens } ?? points.count - 1
        if after == 0 { return points[0].time }
        let (a, b) = (points[after - 1], points[after])
        let part = (tokens - Double(a.tokens)) / Double(b.tokens - a.tokens)
        return a.time * (1 - part) + b.time * part
      }
    }
  }

  private static func probabilities(_ generator: inout SeededGenerator) -> [Float] {
    (0..<Int.random(in: 0...60, using: &generator))
      .map { _ in Float.random(in: 0...1, using: &generator) }.sorted(by: >)
  }

  @Test func theExpectedTimeATokenIsLeast() {
    for seed in Effort.seeds(2000, atLeast: 200) {
      var generator = SeededGenerator(seed: seed)
      let one = Case(&generator)
      let probabilities = Self.probabilities(&generator)
      let sequences = Int.random(in: 1...30, using: &generator)
      let all = sequences * Int.random(in: 1...3, using: &generator)
      func timePerToken(_ count: Int) -> Double {
        let drafted = Double(count) * Double(all) / Double(sequences)
        let expected = probabilities.prefix(count).reduce(Double(sequences)) { $0 + Double($1) }
        return one.time(Double(all) + drafted, all) / one.time(Double(all), all) / expected
      }
      let count = one.cost.count(of: probabilities, VerifyCost.Batch(sequences: sequences, of: all))
      let least = (0...probabilities.count).map(timePerToken).min()!
      #expect(timePerToken(count) <= least * (1 + 1e-12), "seed \(seed), \(one.cost)")
      // Never slower than without drafts.
      #expect(timePerToken(count) <= timePerToken(0))
    }
  }

  /// Tokens below the least probability would not be verified if they were drafted.
  @Test func lessProbableTokensAreNotWorthIt() {
    for seed in Effort.seeds(2000, atLeast: 200) {
      var generator = SeededGenerator(seed: seed)
      let one = Case(&generator)
      let batch = Int.random(in: 1...60, using: &generator)
      let least = one.cost.leastProbability(batch: batch)
      #expect((0.01...1).contains(least))
      if least == 0.01 { continue }
      let probabilities = Self.probabilities(&generator)
      let count = one.cost.count(
        of: probabilities, VerifyCost.Batch(sequences: batch, of: batch))
      #expect(
        probabilities.prefix(count).allSatisfy { Double($0) >= least * (1 - 1e-6) },
        "seed \(seed), \(one.cost), batch \(batch), \(probabilities.prefix(count)), \(least)")
    }
  }

  @Test func costsHaveTheirRange() {
    #expect(VerifyCost(perToken: -0.1) == nil && VerifyCost(perToken: 1.1) == nil)
    #expect(VerifyCost(perToken: .nan) == nil)
    let good = [Point(tokens: 1, time: 2), Point(tokens: 2, time: 2)]
    #expect(VerifyCost(points: good) != nil)
    for bad in [
      [], [good[0]], [good[1], good[0]], [good[0], good[0]],
      [good[0], Point(tokens: 2, time: 1.9)], [Point(tokens: 0, time: 1), good[1]],
      [good[0], Point(tokens: 2, time: .infinity)], [good[0], Point(tokens: 2, time: .nan)],
      (1...65).map { Point(tokens: $0, time: 1) },
    ] { #expect(VerifyCost(points: bad) == nil, "\(bad)") }
  }

  @Test func timesAreInterpolated() throws {
    let cost = try #require(
      VerifyCost(points: [
        Point(tokens: 4, time: 10), Point(tokens: 8, time: 12), Point(tokens: 16, time: 20),
      ]))
    #expect(cost.time(drafted: 0, batch: 4) == 1)
    #expect(cost.time(drafted: 2, batch: 4) == 1.1)
    #expect(cost.time(drafted: 12, batch: 4) == 2)
    #expect(cost.time(drafted: 16, batch: 8) == 28.0 / 12)
    #expect(cost.time(drafted: 3, batch: 1) == 1)
    let same = try #require(VerifyCost(perToken: 0.25))
    #expect(same.time(drafted: 4, batch: 9) == 2)
  }
}
