extension GrowingCore {
  /// Moves (state, length) along links until the state is the one whose class holds the pattern of
  /// that length. Needed whenever the length shrank or the state may have been split.
  @inline(__always)
  func settle(_ state: inout UInt32, length: UInt32) {
    while true {
      let link = states[state].link
      if link == Self.none || length > states[link].length { return }
      state = link
    }
  }

  mutating func extend(_ tail: inout GrowingIndex.Tail, by token: Int32) {
    if tail.length >= depth { tail.length = UInt32(depth - 1) }
    settle(&tail.state, length: tail.length)
    let origin = tail.state
    let length = tail.length + 1

    let known = edge(from: origin, by: token)
    let state =
      known == Self.none
      ? addNewPattern(from: origin, by: token, length: length)
      : enterPattern(known, from: origin, by: token, length: length)

    tail = GrowingIndex.Tail(state: state, length: length)
    settle(&tail.state, length: tail.length)
    var grown = tail.state
    while grown != Self.none {
      states[grown].count &+= 1
      grown = states[grown].link
    }
    // All counts are updated before any are compared.
    var parent = origin
    while parent != Self.root {
      raiseInRanking(of: parent, edge(from: parent, by: token))
      parent = states[parent].link
    }
    tokenCount += 1
  }

  /// Adds a pattern that was never seen: one new state, and edges to it from every suffix of the
  /// tail that was not followed by `token` either.
  private mutating func addNewPattern(
    from origin: UInt32, by token: Int32, length: UInt32
  ) -> UInt32 {
    let state = addState(length: length, link: Self.none, count: 0)
    var parent = origin
    var known = Self.none
    while parent != Self.none {
      known = edge(from: parent, by: token)
      if known != Self.none { break }
      addEdge(from: parent, by: token, to: state)
      parent = states[parent].link
    }
    // Proper suffixes of the tail are whole classes, so the length of `parent` is exact.
    states[state].link =
      parent == Self.none
      ? Self.root : enterPattern(known, from: parent, by: token, length: states[parent].length + 1)
    return state
  }

  /// Finds the state of the pattern of `length` tokens that an existing edge leads to. If that
  /// state also holds longer patterns, which the tail does not end with, splits the shorter ones
  /// off.
  private mutating func enterPattern(
    _ known: UInt32, from origin: UInt32, by token: Int32, length: UInt32
  ) -> UInt32 {
    let target = edges[known].target
    if states[target].length <= length { return target }
    let split = addState(
      length: length, link: states[target].link, count: states[target].count)
    states[split].followed = states[target].followed
    copyEdges(from: target, to: split)
    states[target].link = split
    var parent = origin
    while parent != Self.none {
      let redirected = edge(from: parent, by: token)
      if redirected == Self.none || edges[redirected].target != target { break }
      edges[redirected].target = split
      parent = states[parent].link
    }
    return split
  }

  /// Subtracts the last tokens of one sequence from every count, along the same walk that added
  /// them.
  mutating func removeLast(_ count: Int, of tokens: Span<Int32>) {
    let first = tokens.count - count
    var tail = tail(of: tokens, at: first)
    for position in first..<tokens.count {
      let token = tokens[position]
      if tail.length >= depth { tail.length = UInt32(depth - 1) }
      settle(&tail.state, length: tail.length)
      let origin = tail.state
      let known = edge(from: origin, by: token)
      precondition(known != Self.none, "only a sequence that was added can be removed")
      tail = GrowingIndex.Tail(state: edges[known].target, length: tail.length + 1)
      settle(&tail.state, length: tail.length)
      var shrunk = tail.state
      while shrunk != Self.none {
        precondition(states[shrunk].count > 0, "only a sequence that was added can be removed")
        states[shrunk].count &-= 1
        shrunk = states[shrunk].link
      }
      var parent = origin
      while parent != Self.root {
        lowerInRanking(of: parent, edge(from: parent, by: token))
        parent = states[parent].link
      }
    }
    tokenCount -= count
    removals += 1
  }

  /// The tail that the sequence had before the token at `position` was added.
  private func tail(of tokens: Span<Int32>, at position: Int) -> GrowingIndex.Tail {
    var tail = GrowingIndex.Tail()
    // A tail that is extended has at most depth − 1 tokens.
    for position in max(0, position - (depth - 1))..<position {
      let known = edge(from: tail.state, by: tokens[position])
      precondition(known != Self.none, "only a sequence that was added can be removed")
      // All patterns of a state go on to one state, so there is nothing to settle.
      tail = GrowingIndex.Tail(state: edges[known].target, length: tail.length + 1)
    }
    return tail
  }
}
