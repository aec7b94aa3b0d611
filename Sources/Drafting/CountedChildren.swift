import SuffixIndex

/// The children of one pattern over several indexes, by the sum of their counts, without the patterns
/// that they stand for.
struct CountedChildren {
  /// The children, by falling count, then rising token.
  private(set) var sorted: [ChildCount] = []
  private var listed: [ChildCount] = []
  /// The number of indexes that listed each child of `sorted`, before it is sorted.
  private var listings: [Int] = []

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
    listings.removeAll(keepingCapacity: true)
    for place in loci.indices {
      listed.removeAll(keepingCapacity: true)
      indexes[Int(loci[place].index)].appendCounts(
        of: loci[place].cursor, countMin: each, to: &listed)
      for child in listed.indices { add(listed[child]) }
    }
    if each > 1 { lookUpMissing(loci, indexes, each: each, countMin: countMin) }
    sorted.sortChildren()
    while let last = sorted.last, last.count < countMin { sorted.removeLast() }
  }

  private mutating func add(_ child: ChildCount) {
    for known in sorted.indices where sorted[known].token == child.token {
      sorted[known].count += child.count
      listings[known] += 1
      return
    }
    sorted.append(child)
    listings.append(1)
  }

  /// Adds the counts from indexes in which a child has fewer than `each` occurrences, and so is not
  /// listed.
  private mutating func lookUpMissing(
    _ loci: [Locus], _ indexes: [AnyHistoryIndex], each: Int, countMin: Int
  ) {
    for known in sorted.indices {
      let missing = loci.count - listings[known]
      if missing == 0 || sorted[known].count + missing * (each - 1) < countMin { continue }
      for place in loci.indices {
        let child = indexes[Int(loci[place].index)].child(
          of: loci[place].cursor, token: sorted[known].token)
        if let child, Int(child.count) < each { sorted[known].count += Int(child.count) }
      }
    }
  }
}
