/// The rule of `Retention`, told a second time and with another word for each step.
package struct KeepingRule: Codable, Sendable {
  package var tokens: Int?
  package var sequences: Int?

  package init(tokens: Int? = nil, sequences: Int? = nil) {
    self.tokens = tokens
    self.sequences = sequences
  }

  /// What is kept of a history when a call adds to it. Sequences are known by numbers, oldest first.
  ///
  /// A sequence of the call that stands there already is no addition, unless it has to leave for the
  /// others: then it comes again, with the call.
  ///
  /// - Parameter size: Tokens of a sequence.
  package func keeping(
    _ history: [Int32], adding new: [Int32], _ size: (Int32) -> Int
  ) -> [Int32] {
    let rest = makingRoom(in: history, for: new, size).last ?? history
    return rest + Self.added(to: rest, new)
  }

  /// The history before a call adds to it: as it was, and each time that the oldest have left.
  package func makingRoom(
    in history: [Int32], for new: [Int32], _ size: (Int32) -> Int
  ) -> [[Int32]] {
    func total(_ tags: [Int32]) -> Int { tags.reduce(0) { $0 + size($1) } }
    var stages = [history]
    while let rest = stages.last, !rest.isEmpty {
      let added = Self.added(to: rest, new)
      let (all, count) = (total(rest) + total(added), rest.count + added.count)
      // More than one eighth beyond: eight times what is too much is more than the bound.
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
