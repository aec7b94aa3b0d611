/// A second implementation of the rule of `Retention`, with another formulation of each step.
package struct KeepingRule: Codable, Sendable {
  package var tokens: Int?
  package var sequences: Int?

  package init(tokens: Int? = nil, sequences: Int? = nil) {
    self.tokens = tokens
    self.sequences = sequences
  }

  /// The history that is kept when a call adds to it. Sequences are identified by numbers, oldest
  /// first.
  ///
  /// A sequence of the call that the history already holds adds nothing, unless it has to leave to
  /// make room for the others: then the call adds it again.
  ///
  /// - Parameter size: Returns the number of tokens of a sequence.
  package func keeping(
    _ history: [Int32], adding new: [Int32], _ size: (Int32) -> Int
  ) -> [Int32] {
    let rest = makingRoom(in: history, for: new, size).last ?? history
    return rest + Self.added(to: rest, new)
  }

  /// The states of the history before a call adds to it: unchanged, and after each removal of the
  /// oldest.
  package func makingRoom(
    in history: [Int32], for new: [Int32], _ size: (Int32) -> Int
  ) -> [[Int32]] {
    func total(_ tags: [Int32]) -> Int { tags.reduce(0) { $0 + size($1) } }
    var stages = [history]
    while let rest = stages.last, !rest.isEmpty {
      let added = Self.added(to: rest, new)
      let (all, count) = (total(rest) + total(added), rest.count + added.count)
      // The bound is exceeded by more than one eighth: eight times the excess is more than the
      // bound.
      let isPast =
        tokens.map { (all - $0) * 8 > $0 } ?? false
        || sequences.map { (count - $0) * 8 > $0 } ?? false
      if !isPast || added.isEmpty { break }
      var left = rest
      while !left.isEmpty,
        tokens.map({ total(left) + total(added) > $0 }) ?? false
          || sequences.map({ left.count + added.count > $0 }) ?? false
      {
        left.removeFirst()
      }
      stages.append(left)
    }
    return stages
  }

  private static func added(to history: [Int32], _ new: [Int32]) -> [Int32] {
    var added: [Int32] = []
    for tag in new where !history.contains(tag) && !added.contains(tag) { added.append(tag) }
    return added
  }
}
