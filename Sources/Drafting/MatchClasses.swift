import SuffixIndex

/// The lengths at which a context matches a history, in classes: the lengths of one class occur
/// equally often in each index, and so at the same places.
///
/// A class stands for its longest length. Classes are visited from the longest match down.
struct MatchClasses {
  /// The pattern of the class's longest length, in each index that has it.
  private(set) var loci: [Locus] = []
  /// For each of them the next shorter pattern that occurs more often there, if it can still
  /// matter.
  private var wider: [MatchCursor?] = []
  /// The longest length of the class; 0 after the last class.
  private(set) var length = 0

  /// Moves to the class of the longest match, if that has `lengthMin` tokens or more.
  ///
  /// - Parameter range: The history's indexes, among those of all histories.
  mutating func begin(
    _ matches: inout some ContextMatches, in range: Range<Int>, _ indexes: [AnyHistoryIndex],
    lengthMin: Int
  ) {
    loci.removeAll(keepingCapacity: true)
    length = 0
    for index in range where matches.isKnown(index) {
      length = max(length, matches.lengthBound(index))
    }
    if length < lengthMin { length = 0 }
    lookUp(&matches, in: range, indexes, length: &length, lengthMin: lengthMin)
    join(matches, in: range)
  }

  /// The length of the next class, if it has `lengthMin` tokens or more; 0 otherwise.
  mutating func next(
    lengthMin: Int, _ indexes: [AnyHistoryIndex], _ matches: inout some ContextMatches,
    in range: Range<Int>
  ) -> Int {
    wider.removeAll(keepingCapacity: true)
    if lengthMin >= length { return 0 }
    var next = 0
    for index in range where matches.isKnown(index) {
      let match = matches.lengthBound(index)
      if match < length && match >= lengthMin { next = max(next, match) }
    }
    for position in loci.indices {
      // A pattern shorter than another index's next pattern cannot matter yet.
      let cursor = indexes[Int(loci[position].index)].widened(
        loci[position].cursor, lengthMin: UInt32(max(lengthMin, next)))
      wider.append(cursor)
      if let cursor { next = max(next, Int(cursor.length)) }
    }
    lookUp(&matches, in: range, indexes, length: &next, lengthMin: lengthMin)
    return next
  }

  /// Moves to the class that `next` has found.
  mutating func goOn(
    to next: Int, _ indexes: [AnyHistoryIndex], _ matches: some ContextMatches,
    in range: Range<Int>
  ) {
    length = next
    if length == 0 { return }
    for position in loci.indices {
      if let cursor = wider[position], Int(cursor.length) == length {
        loci[position].cursor = cursor
      } else {
        loci[position].cursor = indexes[Int(loci[position].index)].suffix(
          of: loci[position].cursor, length: UInt32(length))
      }
    }
    join(matches, in: range)
  }

  /// Looks up the matches that may have the longest length, and raises `length` to it.
  @inline(__always)
  private func lookUp(
    _ matches: inout some ContextMatches, in range: Range<Int>, _ indexes: [AnyHistoryIndex],
    length: inout Int, lengthMin: Int
  ) {
    while true {
      // The one with the highest bound first, because its match may exclude others.
      var bound = max(length, lengthMin) - 1
      var chosen: Int?
      for index in range where !matches.isKnown(index) && matches.lengthBound(index) > bound {
        (bound, chosen) = (matches.lengthBound(index), index)
      }
      guard let chosen else { return }
      matches.lookUp(chosen, in: indexes)
      let found = matches.lengthBound(chosen)
      if found >= lengthMin { length = max(length, found) }
    }
  }

  /// Adds the indexes whose longest match has the class's length.
  @inline(__always)
  private mutating func join(_ matches: some ContextMatches, in range: Range<Int>) {
    if length == 0 { return }
    for index in range where matches.lengthBound(index) == length {
      loci.append(Locus(cursor: matches.cursor(index), index: Int32(index)))
    }
  }
}
