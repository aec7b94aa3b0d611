import SuffixIndex

/// The children of one pattern over several indexes, by the sum of their counts, without the patterns
/// that they stand for.
struct CountedChildren {
  /// The children, by falling count, then rising token.
  private(set) var sorted: [ChildCount] = []
  private var listed: [ChildCount] = []
  /// For each child in `sorted`, until sums are known: a bit for each of the first 64 loci that
  /// listed it.
  private var listedBy: [UInt64] = []

  /// Reads the children that occur at least `countMin` times in all.
  ///
  /// - Complexity: O(children · indexes) reads. There are at most N / countMin such children of a
  ///   pattern with N followed occurrences, and k times as many are read over k indexes.
  mutating func read(of loci: [Locus], _ indexes: [AnyHistoryIndex], countMin: Int) {
    sorted.removeAll(keepingCapacity: true)
    if loci.count == 1 {
      indexes[Int(loci[0].index)].appendCounts(
        of: loci[0].cursor, countMin: countMin, to: &sorted)
      return
    }
    // A child whose sum reaches the least has this many in one of the indexes.
    let each = max(1, (countMin + loci.count - 1) / loci.count)
    listedBy.removeAll(keepingCapacity: true)
    for place in loci.indices {
      listed.removeAll(keepingCapacity: true)
      indexes[Int(loci[place].index)].appendCounts(
        of: loci[place].cursor, countMin: each, to: &listed)
      for child in listed.indices { add(listed[child], listedAt: place) }
    }
    if each > 1 { lookUpMissing(loci, indexes, each: each, countMin: countMin) }
    sort()
    while let last = sorted.last, last.count < countMin { sorted.removeLast() }
  }

  private mutating func add(_ child: ChildCount, listedAt place: Int) {
    let bit: UInt64 = place < 64 ? 1 << UInt64(place) : 0
    for known in sorted.indices where sorted[known].token == child.token {
      sorted[known].count += child.count
      listedBy[known] |= bit
      return
    }
    sorted.append(child)
    listedBy.append(bit)
  }

  /// Adds the counts from indexes in which a child is too rare to be listed.
  private mutating func lookUpMissing(
    _ loci: [Locus], _ indexes: [AnyHistoryIndex], each: Int, countMin: Int
  ) {
    for known in sorted.indices {
      let missing = loci.count - listedBy[known].nonzeroBitCount
      if sorted[known].count + missing * (each - 1) < countMin { continue }
      for place in loci.indices where place >= 64 || listedBy[known] & (1 << UInt64(place)) == 0 {
        let child = indexes[Int(loci[place].index)].child(
          of: loci[place].cursor, token: sorted[known].token)
        // From the 64th index on it is not known whether the child was listed.
        if let child, Int(child.count) < each { sorted[known].count += Int(child.count) }
      }
    }
  }

  private mutating func sort() {
    if sorted.count > 24 {
      sorted.sort { ChildCursor.precedes(count: $0.count, token: $0.token, $1.count, $1.token) }
      return
    }
    for next in sorted.indices.dropFirst() {
      var place = next
      while place > 0,
        ChildCursor.precedes(
          count: sorted[place].count, token: sorted[place].token, sorted[place - 1].count,
          sorted[place - 1].token)
      {
        sorted.swapAt(place, place - 1)
        place -= 1
      }
    }
  }
}
