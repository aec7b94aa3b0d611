/// The operations of a history that a slow drafter needs.
package protocol CountedHistory {
  /// Longest pattern whose count is known.
  var depth: Int { get }
  /// The number of occurrences of a pattern of up to `depth` tokens.
  func count(_ pattern: [Int32]) -> Int
  /// Tokens that follow a pattern shorter than `depth`: falling count, then rising token.
  func children(of pattern: [Int32]) -> [(token: Int32, count: Int)]
}

extension CountedHistory {
  /// Tokens in the longest suffix of `context`, of at most `depth − 1` tokens, that occurs.
  package func matchLength(_ context: [Int32]) -> Int {
    var length = 0
    while length < min(context.count, depth - 1), count(Array(context.suffix(length + 1))) > 0 {
      length += 1
    }
    return length
  }
}
