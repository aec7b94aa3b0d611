/// The slow and obvious answer that every index and every draft is tested against: a dictionary of
/// all n-grams. It shares no code with the tested modules, not even the types of a draft.
package struct NGramOracle: CountedHistory {
  package let depth: Int
  /// Each pattern of up to `depth` tokens of one sequence, with its number of occurrences.
  package private(set) var counts: [[Int32]: Int] = [:]
  /// The tokens that follow each pattern.
  private var followers: [[Int32]: Set<Int32>] = [:]

  package init(depth: Int) {
    self.depth = depth
  }

  package init(depth: Int, sequences: [[Int32]]) {
    self.init(depth: depth)
    for sequence in sequences { add(sequence) }
  }

  package mutating func add(_ sequence: [Int32]) { change(sequence, by: 1) }
  package mutating func remove(_ sequence: [Int32]) { change(sequence, by: -1) }

  private mutating func change(_ sequence: [Int32], by amount: Int) {
    for start in sequence.indices {
      for end in (start + 1)...max(start + 1, min(start + depth, sequence.count)) {
        let pattern = Array(sequence[start..<end])
        let count = counts[pattern, default: 0] + amount
        counts[pattern] = count == 0 ? nil : count
        let parent = Array(pattern.dropLast())
        if count == 0 {
          followers[parent]?.remove(pattern[pattern.count - 1])
        } else {
          followers[parent, default: []].insert(pattern[pattern.count - 1])
        }
      }
    }
  }

  package func count(_ pattern: [Int32]) -> Int { counts[pattern] ?? 0 }

  /// Tokens that follow a pattern shorter than `depth`: falling count, then rising token.
  package func children(of pattern: [Int32]) -> [(token: Int32, count: Int)] {
    if pattern.count >= depth { return [] }
    return (followers[pattern] ?? [])
      .map { (token: $0, count: count(pattern + [$0])) }
      .sorted { $0.count != $1.count ? $0.count > $1.count : $0.token < $1.token }
  }
}
