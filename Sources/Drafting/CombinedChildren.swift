import SuffixIndex

/// The children of one pattern over several indexes, by the sum of their counts.
///
/// Each index hands out its children by falling count. A child whose sum is at least s must occur
/// at least s/k times in one of k indexes, so a look at the heads of the lists, and one look-up of
/// each token found there in the other indexes, gives the exact first children without reading
/// the lists to their ends (the idea of Fagin's threshold algorithm).
struct CombinedChildren {
  struct Child: CountedChild {
    var token: Int32
    var count: Int
    /// Place of its first locus; it has one for each index that holds it.
    var firstLocus: Int32
    var lociCount: Int32

    var occurrences: Int { count }
  }

  private var heads: [ChildCursor?] = []
  private var listed: [ChildCursor] = []
  /// Children found in one index, whose sums are not known yet.
  private var found: [Found] = []

  private struct Found: BitwiseCopyable {
    var child: ChildCursor
    /// Place of the parent among the loci.
    var parent: Int32
  }

  /// The count that at least one of `parts` indexes must have, if their sum is `count`.
  private static func share(_ count: Int, of parts: Int) -> Int {
    max(1, (count + parts - 1) / parts)
  }

  // MARK: The first child

  /// The child that comes first by falling sum, then rising token; `nil` when there is none that
  /// occurs `countMin` times in all.
  ///
  /// - Parameter children: Receives that child's locus in each index that has it.
  mutating func first(
    of loci: [Locus], _ indexes: [AnyHistoryIndex], countMin: Int, children: inout [Locus]
  ) -> (token: Int32, count: Int)? {
    children.removeAll(keepingCapacity: true)
    if loci.count == 1 {
      let locus = loci[0]
      guard let child = indexes[Int(locus.index)].firstChild(of: locus.cursor),
        Int(child.count) >= countMin
      else { return nil }
      children.append(Locus(cursor: child.cursor, index: locus.index))
      return (child.token, Int(child.count))
    }
    heads.removeAll(keepingCapacity: true)
    var headSum = 0
    var agree = true
    var agreed: Int32 = -1
    for position in loci.indices {
      let locus = loci[position]
      let head = indexes[Int(locus.index)].firstChild(of: locus.cursor)
      heads.append(head)
      guard let head else { continue }
      headSum += Int(head.count)
      if agreed >= 0 && agreed != head.token { agree = false }
      agreed = head.token
    }
    if headSum < countMin || agreed < 0 { return nil }
    var best = (token: agreed, count: headSum)
    // Where all first children are one token, no other can have a larger sum, and one with the
    // same sum would come after it in every list.
    if !agree { best = bestSum(of: loci, indexes, headSum: headSum, countMin: countMin) }
    if best.count < countMin { return nil }
    for position in loci.indices {
      let locus = loci[position]
      if let head = heads[position], head.token == best.token {
        children.append(Locus(cursor: head.cursor, index: locus.index))
      } else if let child = indexes[Int(locus.index)].child(of: locus.cursor, token: best.token) {
        children.append(Locus(cursor: child, index: locus.index))
      }
    }
    return best
  }

  private mutating func bestSum(
    of loci: [Locus], _ indexes: [AnyHistoryIndex], headSum: Int, countMin: Int
  ) -> (token: Int32, count: Int) {
    var best = (token: Int32.max, count: 0)
    for position in loci.indices {
      guard let head = heads[position] else { continue }
      improve(&best, by: head, in: position, loci, indexes, headSum: headSum, countMin: countMin)
    }
    // A few children at first, because the best child is usually at the head of a list.
    var (limit, seen) = (4, 1)
    while true {
      let needed = Self.share(max(best.count, countMin), of: loci.count)
      // No child that is not listed yet has a larger sum than this.
      var unlisted = 0
      for position in loci.indices {
        guard let head = heads[position] else { continue }
        if head.count < needed {
          unlisted += Int(head.count)
          continue
        }
        let locus = loci[position]
        listed.removeAll(keepingCapacity: true)
        indexes[Int(locus.index)].appendChildren(
          of: locus.cursor, countMin: needed, limit: limit, to: &listed)
        for child in listed.indices.dropFirst(seen) {
          improve(
            &best, by: listed[child], in: position, loci, indexes, headSum: headSum,
            countMin: countMin)
        }
        unlisted += listed.count == limit ? Int(listed[limit - 1].count) : needed - 1
      }
      // At equal sums a smaller token would still come first.
      if unlisted < max(best.count, countMin) { return best }
      seen = limit
      limit = limit > 4096 ? .max : limit * 8
    }
  }

  /// Makes a child of one index the best one, if its sum over all indexes is the largest.
  private func improve(
    _ best: inout (token: Int32, count: Int), by child: ChildCursor, in position: Int,
    _ loci: [Locus], _ indexes: [AnyHistoryIndex], headSum: Int, countMin: Int
  ) {
    if child.token == best.token { return }
    // An upper bound of the sum, replaced by exact counts index by index until it is too small.
    var sum = headSum - Int(heads[position]?.count ?? 0) + Int(child.count)
    for other in loci.indices where other != position {
      if sum < max(best.count, countMin) { return }
      guard let head = heads[other] else { continue }
      if head.token == child.token { continue }
      let locus = loci[other]
      let count = indexes[Int(locus.index)].child(of: locus.cursor, token: child.token)?.count ?? 0
      sum -= Int(head.count) - Int(count)
    }
    if sum >= countMin,
      ChildCursor.precedes(count: sum, token: child.token, best.count, best.token)
    {
      best = (child.token, sum)
    }
  }

  // MARK: All children

  /// Appends the children that occur at least `countMin` times in all, in order, at most `limit`.
  ///
  /// - Parameter childLoci: Receives their loci.
  mutating func append(
    of loci: [Locus], _ indexes: [AnyHistoryIndex], countMin: Int, limit: Int,
    to children: inout [Child], _ childLoci: inout [Locus]
  ) {
    if loci.count == 1 {
      let only = loci[0]
      listed.removeAll(keepingCapacity: true)
      indexes[Int(only.index)].appendChildren(
        of: only.cursor, countMin: countMin, limit: limit, to: &listed)
      for child in listed.indices {
        let child = listed[child]
        childLoci.append(Locus(cursor: child.cursor, index: only.index))
        children.append(
          Child(
            token: child.token, count: Int(child.count), firstLocus: Int32(childLoci.count - 1),
            lociCount: 1))
      }
      return
    }
    let needed = list(loci, indexes, countMin: countMin, limit: limit)
    let first = children.count
    sortFound()
    var position = 0
    while position < found.count {
      var end = position + 1
      while end < found.count && found[end].child.token == found[position].child.token { end += 1 }
      add(
        position..<end, loci, indexes, listedDownTo: needed.each, countMin: needed.sum,
        to: &children, &childLoci)
      position = end
    }
    children.sortChildren(from: first)
    if children.count - first > limit { children.removeSubrange((first + limit)...) }
  }

  /// Lists the children whose count in one index is high enough for their sum to reach `countMin`.
  /// Returns the sum that a child among the first `limit` must have, and the count down to which
  /// every list is complete.
  private mutating func list(
    _ loci: [Locus], _ indexes: [AnyHistoryIndex], countMin: Int, limit: Int
  ) -> (sum: Int, each: Int) {
    var sum = countMin
    var isCut = false
    var limit = limit
    while true {
      found.removeAll(keepingCapacity: true)
      let each = Self.share(sum, of: loci.count)
      isCut = false
      for position in loci.indices {
        let locus = loci[position]
        listed.removeAll(keepingCapacity: true)
        indexes[Int(locus.index)].appendChildren(
          of: locus.cursor, countMin: each, limit: limit, to: &listed)
        for child in listed.indices {
          found.append(Found(child: listed[child], parent: Int32(position)))
        }
        if listed.count == limit {
          // `limit` children have at least the last one's count, so no smaller sum is among the
          // first. The lists are then read again down to that bound, however long they are.
          isCut = true
          sum = max(sum, Int(listed[limit - 1].count))
        }
      }
      if !isCut { return (sum, each) }
      limit = .max
    }
  }

  /// Adds up the counts of one child over all indexes.
  private func add(
    _ range: Range<Int>, _ loci: [Locus], _ indexes: [AnyHistoryIndex],
    listedDownTo each: Int, countMin: Int, to children: inout [Child], _ childLoci: inout [Locus]
  ) {
    let token = found[range.lowerBound].child.token
    var sum = 0
    for position in range { sum += Int(found[position].child.count) }
    // Where it is not listed, it occurs fewer than `each` times.
    if sum + (loci.count - range.count) * (each - 1) < countMin { return }
    let first = childLoci.count
    var next = range.lowerBound
    for position in loci.indices {
      let index = loci[position].index
      if next < range.upperBound && found[next].parent == position {
        childLoci.append(Locus(cursor: found[next].child.cursor, index: index))
        next += 1
      } else if each > 1,
        let cursor = indexes[Int(index)].child(of: loci[position].cursor, token: token)
      {
        childLoci.append(Locus(cursor: cursor, index: index))
        sum += Int(cursor.count)
      }
    }
    if sum < countMin {
      childLoci.removeSubrange(first...)
    } else {
      children.append(
        Child(
          token: token, count: sum, firstLocus: Int32(first),
          lociCount: Int32(childLoci.count - first)))
    }
  }

  /// Lists this short are sorted by insertion, without a call or memory.
  private static let insertionMax = 24

  private mutating func sortFound() {
    if found.count > Self.insertionMax {
      found.sort {
        $0.child.token != $1.child.token
          ? $0.child.token < $1.child.token : $0.parent < $1.parent
      }
      return
    }
    // Parents rise already, and insertion keeps the order of equals.
    for next in found.indices.dropFirst() {
      var place = next
      while place > 0 && found[place].child.token < found[place - 1].child.token {
        found.swapAt(place, place - 1)
        place -= 1
      }
    }
  }
}
