extension GrowingCore {
  func checkInvariants() {
    precondition(states[Self.root].length == 0 && states[Self.root].link == Self.none)
    precondition(Int(states[Self.root].count) == tokenCount, "the root counts every token")
    var edgesSeen = 0
    var slotsExpected = 0
    for state in 0..<UInt32(states.count) {
      if state != Self.root {
        let link = states[state].link
        precondition(link < states.count, "state \(state) has no link")
        precondition(states[link].length < states[state].length, "links lead to shorter patterns")
        precondition(states[link].count >= states[state].count, "a suffix occurs at least as often")
        precondition(states[state].length <= depth, "no pattern is longer than depth")
      }
      edgesSeen += checkEdges(of: state)
      if states[state].degree > Self.listDegreeMax { slotsExpected += states[state].degree }
    }
    precondition(edgesSeen == edges.count, "every edge is in one list")
    precondition(slotsExpected == slotsTaken, "every edge of a state with many is in the hash")
  }

  /// Returns the number of edges in the state's list.
  private func checkEdges(of state: UInt32) -> Int {
    var sorted: [UInt32] = []
    var childOccurrences = 0
    var listed = states[state].firstEdge
    while listed != Self.none {
      let edge = edges[listed]
      precondition(edge.source == state, "an edge is listed by the state it leaves")
      precondition(self.edge(from: state, by: edge.token) == listed, "each edge can be found")
      childOccurrences += Int(states[edge.target].count)
      sorted.append(listed)
      listed = edges[listed].next
    }
    precondition(sorted.count == states[state].degree, "degree counts edges")
    // A state whose patterns all have full depth keeps the edges that it had before it was split,
    // and no counts are kept behind them.
    let link = states[state].link
    if link != Self.none && states[link].length + 1 >= depth { return sorted.count }
    precondition(
      childOccurrences <= Int(states[state].count), "continuations are at most occurrences")
    precondition(
      state == Self.root || Int(states[state].followed) == childOccurrences,
      "the sum of all edges' counts is known")
    sorted.sort { self.edge($0, precedes: $1) }
    if state != Self.root && !sorted.isEmpty {
      let ranking = states[state].ranking
      if sorted.count <= Self.scanDegreeMax {
        precondition(ranking == sorted[0], "the best edge is known")
      } else {
        for place in 0..<min(sorted.count, Self.rankedMax) {
          precondition(
            rankings[ranking &+ UInt32(place)] == sorted[place], "the best edges are in order")
        }
      }
    }
    return sorted.count
  }
}
