/// A random generator with a reproducible sequence (SplitMix64), so that a failing test can be run
/// again from the seed that it prints.
package struct SeededGenerator: RandomNumberGenerator, Sendable {
  private var state: UInt64

  package init(seed: UInt64) {
    state = seed
  }

  package mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var mixed = state
    mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
    return mixed ^ (mixed >> 31)
  }

  /// A number below `bound`, or 0 where that is 0.
  package mutating func draw(_ bound: Int) -> Int { Int(next() >> 1) % max(1, bound) }

  /// Tokens drawn evenly from a small alphabet, or, every other time, a text that repeats pieces
  /// of itself, as the output of models does.
  package mutating func tokens(count: Int, alphabet: Int32) -> [Int32] {
    var tokens: [Int32] = []
    let repeats = Bool.random(using: &self)
    while tokens.count < count {
      if repeats, tokens.count > 2, Int.random(in: 0..<3, using: &self) == 0 {
        let start = Int.random(in: 0..<tokens.count, using: &self)
        let end = min(tokens.count, start + Int.random(in: 1...12, using: &self))
        tokens.append(contentsOf: tokens[start..<end])
      } else {
        tokens.append(Int32.random(in: 0..<alphabet, using: &self))
      }
    }
    return Array(tokens.prefix(count))
  }
}
