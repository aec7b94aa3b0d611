extension GrowingCore {
  private func cursor(_ state: UInt32, _ length: UInt32) -> MatchCursor {
    assert(state == Self.root || length > states[states[state].link].length, "not its class")
    return MatchCursor(
      node: state, edge: MatchCursor.noEdge, length: length, count: states[state].count)
  }

  func match(at tail: GrowingIndex.Tail) -> MatchCursor {
    var (state, length) = (tail.state, min(tail.length, UInt32(depth - 1)))
    settle(&state, length: length)
    return cursor(state, length)
  }

  func advance(_ match: inout MatchCursor, by token: Int32) {
    // A pattern of depth − 1 tokens is as long as a match may be, so one of depth − 2 is the
    // longest that can be extended.
    var (state, length) = (match.node, min(match.length, UInt32(depth - 2)))
    settle(&state, length: length)
    while true {
      let edge = edge(from: state, by: token)
      if edge != Self.none && count(ofEdge: edge) > 0 {
        // All patterns of a state go on to one state, so there is nothing to settle.
        match = cursor(edges[edge].target, length + 1)
        return
      }
      if state == Self.root {
        match = cursor(Self.root, 0)
        return
      }
      state = states[state].link
      length = states[state].length
    }
  }

  func shorten(_ match: inout MatchCursor) {
    assert(match.length > 0, "the empty pattern cannot be shortened")
    var (state, length) = (match.node, match.length - 1)
    settle(&state, length: length)
    match = cursor(state, length)
  }

  func suffix(of match: MatchCursor, length: UInt32) -> MatchCursor {
    var state = match.node
    settle(&state, length: length)
    return cursor(state, length)
  }

  func widened(_ match: MatchCursor, lengthMin: UInt32) -> MatchCursor? {
    var state = match.node
    while true {
      // All patterns of a state occur equally often.
      state = states[state].link
      if state == Self.root || states[state].length < lengthMin { return nil }
      if states[state].count != match.count { return cursor(state, states[state].length) }
    }
  }

  func child(of match: MatchCursor, token: Int32) -> MatchCursor? {
    assert(match.length < depth, "no continuation of a pattern of full depth is counted")
    let edge = edge(from: match.node, by: token)
    if edge == Self.none || count(ofEdge: edge) == 0 { return nil }
    return childCursor(edge, of: match).cursor
  }

  private func childCursor(_ edge: UInt32, of match: MatchCursor) -> ChildCursor {
    // All patterns of a state go on to one state, so there is nothing to settle.
    ChildCursor(
      token: edges[edge].token, cursor: cursor(edges[edge].target, match.length + 1))
  }

  func firstChild(of match: MatchCursor) -> ChildCursor? {
    let degree = states[match.node].degree
    if degree == 0 { return nil }
    var best = states[match.node].ranking
    if match.node == Self.root {
      best = states[match.node].firstEdge
      var edge = best
      while edge != Self.none {
        if self.edge(edge, precedes: best) { best = edge }
        edge = edges[edge].next
      }
    } else if degree > Self.scanDegreeMax {
      best = rankings[best]
    }
    return count(ofEdge: best) == 0 ? nil : childCursor(best, of: match)
  }

  func appendChildren(
    of match: MatchCursor, countMin: Int, limit: Int, to children: inout [ChildCursor]
  ) {
    append(of: match, countMin: countMin, limit: limit, to: &children) {
      childCursor($0, of: match)
    }
  }

  func childCount(of match: MatchCursor, token: Int32) -> Int {
    let edge = edge(from: match.node, by: token)
    return edge == Self.none ? 0 : Int(count(ofEdge: edge))
  }

  func appendCounts(
    of match: MatchCursor, countMin: Int, limit: Int, to children: inout [ChildCount]
  ) {
    append(of: match, countMin: countMin, limit: limit, to: &children) {
      ChildCount(token: edges[$0].token, count: Int(count(ofEdge: $0)))
    }
  }

  /// Appends the children that occur at least `countMin` times, at most `limit`, each as `child`
  /// makes it of its edge.
  @inline(__always)
  private func append<Child: CountedChild>(
    of match: MatchCursor, countMin: Int, limit: Int, to children: inout [Child],
    _ child: (UInt32) -> Child
  ) {
    let state = states[match.node]
    let first = children.count
    if match.node != Self.root && state.degree > Self.scanDegreeMax {
      let ranked = min(state.degree, Self.rankedMax)
      for place in 0..<ranked {
        let edge = rankings[state.ranking &+ UInt32(place)]
        if children.count - first == limit || count(ofEdge: edge) < countMin { return }
        children.append(child(edge))
      }
      if ranked == state.degree { return }
      // More children were asked for than are kept in order.
      children.removeSubrange(first...)
    }
    var edge = state.firstEdge
    while edge != Self.none {
      if count(ofEdge: edge) >= countMin { children.append(child(edge)) }
      edge = edges[edge].next
    }
    children.sortChildren(from: first)
    if children.count - first > limit { children.removeSubrange((first + limit)...) }
  }

  func followers(of match: MatchCursor) -> Followers {
    assert(match.node != Self.root, "the empty pattern's children are not counted")
    let state = states[match.node]
    var kinds = min(state.degree, Followers.kindsMax)
    // Edges whose sequences were all removed are counted in the degree, and are no children.
    if removals > 0 { kinds = livingKinds(of: state) }
    return Followers(count: Int(state.followed), kinds: kinds)
  }

  /// The number of edges with occurrences, up to `kindsMax`.
  private func livingKinds(of state: State) -> Int {
    var kinds = 0
    if state.degree > Self.scanDegreeMax {
      while kinds < Followers.kindsMax,
        count(ofEdge: rankings[state.ranking &+ UInt32(kinds)]) > 0
      {
        kinds += 1
      }
      return kinds
    }
    var edge = state.firstEdge
    while edge != Self.none {
      if count(ofEdge: edge) > 0 { kinds += 1 }
      edge = edges[edge].next
    }
    return kinds
  }

  /// Returns true if a longer match than the cursor's may have appeared. Otherwise the cursor is
  /// up to date.
  func refresh(_ match: inout MatchCursor, context: Span<Int32>) -> Bool {
    settle(&match.node, length: match.length)
    if match.length > 0 && states[match.node].count == match.count { return false }
    match.count = states[match.node].count
    // One token longer on the left. If that pattern is absent, so is every longer one.
    let longer = Int(match.length) + 1
    return longer <= min(context.count, depth - 1) && holds(context, last: longer)
  }

  /// True if the pattern of the context's last `length` tokens occurs.
  private func holds(_ context: Span<Int32>, last length: Int) -> Bool {
    var state = Self.root
    for position in (context.count - length)..<context.count {
      let edge = edge(from: state, by: context[position])
      if edge == Self.none || count(ofEdge: edge) == 0 { return false }
      state = edges[edge].target
    }
    return true
  }
}
