import SuffixIndex

/// The children of one pattern over several indexes, by the sum of their counts, without the patterns
/// that they stand for.
struct CountedChildren {
  /// The children, by falling count, then rising token.
  private(set) var sorted: [ChildCount] = []
  private var listed: [ChildCount] = []
  /// For each child of `sorted`, before it is sorted: the indexes that list it, a bit for each.
  private var listings: [UInt64] = []
  /// For each index, the most occurrences of a child that it does not list.
  private var unlisted: [Int] = []
  /// The largest sums, falling.
  private var largest: [Int] = []

  /// The number of children that are listed of each index at first. Looking up one child in an index
  /// takes as long as reading several that stand side by side.
  private static let listedMax = 16

  /// Reads all children.
  ///
  /// - Complexity: O(children · indexes) reads.
  mutating func readAll(of loci: [Locus], _ indexes: [AnyHistoryIndex]) {
    readComplete(of: loci, indexes, countMin: 1)
  }

  /// Reads the first `limit` children that occur at least `countMin` times in all.
  ///
  /// A few children of each index are enough as a rule: what an index does not list occurs there no
  /// more often than the last that it lists, so a child that no index lists has a small sum, and most
  /// of the listed ones are too rare as well (the idea of Fagin's threshold algorithm).
  ///
  /// - Parameter followed: For each locus, the number of its occurrences that a token follows.
  /// - Complexity: O(children · indexes) reads. There are at most N / countMin such children of a
  ///   pattern with N followed occurrences, and k times as many are read over k indexes.
  mutating func readFirst(
    _ limit: Int, of loci: [Locus], followed: [Int], _ indexes: [AnyHistoryIndex], countMin: Int
  ) {
    sorted.removeAll(keepingCapacity: true)
    if loci.count == 1 {
      indexes[Int(loci[0].index)].appendCounts(
        of: loci[0].cursor, countMin: countMin, limit: limit, to: &sorted)
      return
    }
    if loci.count > UInt64.bitWidth
      || !readFew(limit, of: loci, followed: followed, indexes, countMin: countMin)
    {
      readComplete(of: loci, indexes, countMin: countMin)
    }
    if sorted.count > limit { sorted.removeLast(sorted.count - limit) }
  }

  /// Reads the first children from short lists. Returns false if a child that is in none of them may be
  /// among the first.
  private mutating func readFew(
    _ limit: Int, of loci: [Locus], followed: [Int], _ indexes: [AnyHistoryIndex], countMin: Int
  ) -> Bool {
    begin()
    // Children that occur once are not listed: they are found one by one.
    let each = max(2, (countMin + loci.count - 1) / loci.count)
    unlisted.removeAll(keepingCapacity: true)
    var hidden = 0
    for place in loci.indices {
      listed.removeAll(keepingCapacity: true)
      var left = followed[place]
      if left > 0 {
        indexes[Int(loci[place].index)].appendCounts(
          of: loci[place].cursor, countMin: each, limit: Self.listedMax, to: &listed)
      }
      for child in listed.indices {
        add(listed[child], from: place)
        left -= listed[child].count
      }
      let last = listed.count == Self.listedMax ? listed[Self.listedMax - 1].count : each - 1
      unlisted.append(max(0, min(left, last)))
      hidden += unlisted[place]
    }
    if hidden >= sumNeeded(limit, countMin, bounds: true) { return false }
    let needed = sumNeeded(limit, countMin, bounds: false)
    for known in sorted.indices {
      if bound(known) < needed {
        sorted[known].count = 0
        continue
      }
      for place in loci.indices where unlisted[place] > 0 && !isListed(known, place) {
        sorted[known].count += indexes[Int(loci[place].index)].childCount(
          of: loci[place].cursor, token: sorted[known].token)
      }
    }
    if hidden >= sumNeeded(limit, countMin, bounds: false) { return false }
    finish(countMin)
    return true
  }

  /// The sum that a child must have to be among the first `limit`: that of the last of them, or
  /// `countMin` if it is larger.
  ///
  /// - Parameter bounds: True to take the largest possible sum of each child, false to take what is
  ///   known of it.
  private mutating func sumNeeded(_ limit: Int, _ countMin: Int, bounds: Bool) -> Int {
    while largest.count < limit { largest.append(0) }
    for place in 0..<limit { largest[place] = 0 }
    for known in sorted.indices {
      let sum = bounds ? bound(known) : sorted[known].count
      if sum <= largest[limit - 1] { continue }
      var place = limit - 1
      while place > 0 && largest[place - 1] < sum {
        largest[place] = largest[place - 1]
        place -= 1
      }
      largest[place] = sum
    }
    return max(countMin, largest[limit - 1])
  }

  private func isListed(_ known: Int, _ place: Int) -> Bool {
    listings[known] & 1 << UInt64(place) != 0
  }

  /// The largest possible sum of a listed child.
  private func bound(_ known: Int) -> Int {
    var bound = sorted[known].count
    for place in unlisted.indices where !isListed(known, place) { bound += unlisted[place] }
    return bound
  }

  /// Reads all children that occur at least `countMin` times.
  private mutating func readComplete(
    of loci: [Locus], _ indexes: [AnyHistoryIndex], countMin: Int
  ) {
    begin()
    // A child whose sum reaches the least has this many in one of the indexes.
    let each = max(1, (countMin + loci.count - 1) / loci.count)
    for place in loci.indices {
      listed.removeAll(keepingCapacity: true)
      indexes[Int(loci[place].index)].appendCounts(
        of: loci[place].cursor, countMin: each, limit: .max, to: &listed)
      for child in listed.indices { add(listed[child], from: place) }
    }
    if each > 1 { lookUpMissing(loci, indexes, each: each, countMin: countMin) }
    finish(countMin)
  }

  private mutating func begin() {
    sorted.removeAll(keepingCapacity: true)
    listings.removeAll(keepingCapacity: true)
  }

  private mutating func add(_ child: ChildCount, from place: Int) {
    // Where more indexes than bits are read completely, several share one: fewer are thought to list the
    // child, and it is looked up once more.
    let listing: UInt64 = 1 << UInt64(place % UInt64.bitWidth)
    for known in sorted.indices where sorted[known].token == child.token {
      sorted[known].count += child.count
      listings[known] |= listing
      return
    }
    sorted.append(child)
    listings.append(listing)
  }

  /// Adds the counts from indexes in which a child has fewer than `each` occurrences, and so is not
  /// listed.
  private mutating func lookUpMissing(
    _ loci: [Locus], _ indexes: [AnyHistoryIndex], each: Int, countMin: Int
  ) {
    for known in sorted.indices {
      let missing = loci.count - listings[known].nonzeroBitCount
      if missing == 0 || sorted[known].count + missing * (each - 1) < countMin { continue }
      for place in loci.indices {
        let count = indexes[Int(loci[place].index)].childCount(
          of: loci[place].cursor, token: sorted[known].token)
        if count < each { sorted[known].count += count }
      }
    }
  }

  private mutating func finish(_ countMin: Int) {
    sorted.sortChildren()
    while let last = sorted.last, last.count < countMin { sorted.removeLast() }
  }
}
