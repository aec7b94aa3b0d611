/// A history that is counted by scanning its whole text, and therefore costs nothing to maintain:
/// for long patterns, and for histories that change much more often than they are queried.
package final class ScannedHistory: CountedHistory {
  package let depth: Int
  /// All sequences, with a separator before, between and after them.
  private let text: [Int32]
  /// The places after each occurrence of a pattern, for patterns that were queried.
  private var places: [[Int32]: [Int32]] = [:]

  private static let separator: Int32 = -1

  package init(depth: Int, sequences: some Sequence<[Int32]>) {
    self.depth = depth
    var text = [Self.separator]
    for sequence in sequences {
      text += sequence
      text.append(Self.separator)
    }
    self.text = text
  }

  package func count(_ pattern: [Int32]) -> Int {
    pattern.count > depth ? 0 : occurrences(pattern).count
  }

  package func children(of pattern: [Int32]) -> [(token: Int32, count: Int)] {
    if pattern.count >= depth { return [] }
    var counts: [Int32: Int] = [:]
    for place in occurrences(pattern) where text[Int(place)] != Self.separator {
      counts[text[Int(place)], default: 0] += 1
    }
    return counts.map { (token: $0.key, count: $0.value) }
      .sorted { $0.count != $1.count ? $0.count > $1.count : $0.token < $1.token }
  }

  /// The occurrences of a pattern end among those of the pattern without its first token, and begin
  /// among those of the pattern without its last.
  private func occurrences(_ pattern: [Int32]) -> [Int32] {
    if let known = places[pattern] { return known }
    let found: [Int32]
    if pattern.isEmpty {
      found = Array(1..<Int32(text.count))
    } else if let shorter = places[Array(pattern.dropFirst())], pattern.count > 1 {
      found = shorter.filter { text[Int($0) - pattern.count] == pattern[0] }
    } else {
      let last = pattern[pattern.count - 1]
      found = occurrences(Array(pattern.dropLast())).filter { text[Int($0)] == last }.map { $0 + 1 }
    }
    places[pattern] = found
    return found
  }
}
