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

  /// The matches of one context in the indexes of one history.
  struct Matches {
    /// The longest suffix of the context that each index holds: of index i at `first` + i.
    let cursors: [MatchCursor]
    let first: Int
    /// The history's indexes, among those of all histories.
    let range: Range<Int>

    @inline(__always) subscript(index: Int) -> MatchCursor { cursors[first + index] }
  }

  /// Moves to the class of the longest match.
  mutating func begin(_ matches: Matches) {
    length = 0
    for index in matches.range { length = max(length, Int(matches[index].length)) }
    loci.removeAll(keepingCapacity: true)
    if length > 0 { join(matches) }
  }

  /// The length of the next class, if it has `lengthMin` tokens or more; 0 otherwise.
  mutating func next(
    lengthMin: Int, _ indexes: [AnyHistoryIndex], _ matches: Matches
  ) -> Int {
    wider.removeAll(keepingCapacity: true)
    if lengthMin >= length { return 0 }
    var next = 0
    for index in matches.range {
      let match = Int(matches[index].length)
      if match < length && match >= lengthMin { next = max(next, match) }
    }
    for position in loci.indices {
      // A pattern shorter than another index's next pattern cannot matter yet.
      let cursor = indexes[Int(loci[position].index)].widened(
        loci[position].cursor, lengthMin: UInt32(max(lengthMin, next)))
      wider.append(cursor)
      if let cursor { next = max(next, Int(cursor.length)) }
    }
    return next
  }

  /// Moves to the class that `next` has found.
  mutating func goOn(to next: Int, _ indexes: [AnyHistoryIndex], _ matches: Matches) {
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
    join(matches)
  }

  /// Adds the indexes whose longest match has the class's length.
  private mutating func join(_ matches: Matches) {
    for index in matches.range where Int(matches[index].length) == length {
      loci.append(Locus(cursor: matches[index], index: Int32(index)))
    }
  }
}
