import SuffixIndex

/// The children of one pattern over several indexes, by their counts added up.
///
/// Each index hands out its children by falling count. A child whose sum is at least s must occur
/// at least s/k times in one of k indexes, so a look at the head of each list, and one look-up of
/// each token found there in the other indexes, gives the exact first children without reading
/// the lists to their ends (the idea of Fagin's threshold algorithm).
struct CombinedChildren {
  struct Child {
    var token: Int32
    var count: Int
  }

  private var lists: [ChildCursor] = []
  private var heads: [ChildCursor?] = []

  /// The child that comes first by falling sum, then rising token; `nil` when there is none that
  /// occurs `countMin` times in all.
  ///
  /// - Parameter children: Receives that child's locus in each index that has it.
  mutating func first(
    of loci: [Drafter.Locus], _ indexes: [AnyHistoryIndex], countMin: Int,
    children: inout [Drafter.Locus]
  ) -> Child? {
    children.removeAll(keepingCapacity: true)
    if loci.count == 1 {
      guard let child = indexes[Int(loci[0].index)].firstChild(of: loci[0].cursor),
        Int(child.count) >= countMin
      else { return nil }
      children.append(Drafter.Locus(cursor: child.cursor, index: loci[0].index))
      return Child(token: child.token, count: Int(child.count))
    }
    heads.removeAll(keepingCapacity: true)
    var headSum = 0
    var agree = true
    var agreed: ChildCursor?
    for locus in loci {
      let head = indexes[Int(locus.index)].firstChild(of: locus.cursor)
      heads.append(head)
      guard let head else { continue }
      headSum += Int(head.count)
      if let agreed, agreed.token != head.token { agree = false }
      agreed = head
    }
    guard let agreed, headSum >= countMin else { return nil }
    var best = Child(token: agreed.token, count: headSum)
    // Where all first children are one token, no other can have a larger sum, and one with the
    // same sum would come after it in every list.
    if !agree { best = bestSum(of: loci, indexes, headSum: headSum, countMin: countMin) }
    if best.count < countMin { return nil }
    for (position, locus) in loci.enumerated() {
      if let head = heads[position], head.token == best.token {
        children.append(Drafter.Locus(cursor: head.cursor, index: locus.index))
      } else if let child = indexes[Int(locus.index)].child(of: locus.cursor, token: best.token) {
        children.append(Drafter.Locus(cursor: child, index: locus.index))
      }
    }
    return best
  }

  private mutating func bestSum(
    of loci: [Drafter.Locus], _ indexes: [AnyHistoryIndex], headSum: Int, countMin: Int
  ) -> Child {
    var best = Child(token: Int32.max, count: 0)
    for case let head? in heads {
      improve(&best, by: head.token, loci, indexes)
    }
    for (position, locus) in loci.enumerated() {
      guard let head = heads[position] else { continue }
      // A token of this list that is to reach the best sum needs this much here, even if it were
      // the first of every other list.
      let needed = max(best.count, countMin) - (headSum - Int(head.count))
      if needed > Int(head.count) { continue }
      lists.removeAll(keepingCapacity: true)
      indexes[Int(locus.index)].appendChildren(
        of: locus.cursor, countMin: max(1, needed), limit: .max, to: &lists)
      for child in lists {
        if Int(child.count) < max(best.count, countMin) - (headSum - Int(head.count)) { break }
        improve(&best, by: child.token, loci, indexes)
      }
    }
    return best
  }

  private func improve(
    _ best: inout Child, by token: Int32, _ loci: [Drafter.Locus],
    _ indexes: [AnyHistoryIndex]
  ) {
    if token == best.token { return }
    let sum = sum(of: token, loci, indexes)
    if ChildCursor.precedes(count: sum, token: token, best.count, best.token) {
      best = Child(token: token, count: sum)
    }
  }

  private func sum(
    of token: Int32, _ loci: [Drafter.Locus], _ indexes: [AnyHistoryIndex]
  ) -> Int {
    var sum = 0
    for locus in loci {
      sum += Int(indexes[Int(locus.index)].child(of: locus.cursor, token: token)?.count ?? 0)
    }
    return sum
  }

  /// Appends the children that occur at least `countMin` times in all, in order, at most `limit`.
  mutating func append(
    of loci: ArraySlice<Drafter.Locus>, _ indexes: [AnyHistoryIndex], countMin: Int, limit: Int,
    to children: inout [Child]
  ) {
    lists.removeAll(keepingCapacity: true)
    if let only = loci.first, loci.count == 1 {
      indexes[Int(only.index)].appendChildren(
        of: only.cursor, countMin: countMin, limit: limit, to: &lists)
      for child in lists { children.append(Child(token: child.token, count: Int(child.count))) }
      return
    }
    // Where one list alone has `limit` children, the last of them bounds the sums that count; the
    // lists are then read again down to that bound, however long they are.
    var needed = countMin
    var isCut = false
    for locus in loci {
      let start = lists.count
      indexes[Int(locus.index)].appendChildren(
        of: locus.cursor, countMin: share(countMin, of: loci.count), limit: limit, to: &lists)
      if lists.count - start == limit {
        isCut = true
        needed = max(needed, Int(lists[lists.count - 1].count))
      }
    }
    if isCut {
      lists.removeAll(keepingCapacity: true)
      for locus in loci {
        indexes[Int(locus.index)].appendChildren(
          of: locus.cursor, countMin: share(needed, of: loci.count), limit: .max, to: &lists)
      }
    }
    let first = children.count
    lists.sort { $0.token < $1.token }
    var last: Int32 = -1
    for child in lists where child.token != last {
      last = child.token
      var sum = 0
      for locus in loci {
        sum += Int(indexes[Int(locus.index)].child(of: locus.cursor, token: last)?.count ?? 0)
      }
      if sum >= needed { children.append(Child(token: last, count: sum)) }
    }
    children[first...].sort {
      ChildCursor.precedes(count: $0.count, token: $0.token, $1.count, $1.token)
    }
    if children.count - first > limit { children.removeSubrange((first + limit)...) }
  }

  /// What one of `parts` indexes must have at least, if they have `count` together.
  private func share(_ count: Int, of parts: Int) -> Int { max(1, (count + parts - 1) / parts) }
}
