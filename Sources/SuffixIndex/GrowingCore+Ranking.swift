/// Keeps each state's children in order of falling count while counts change by one.
///
/// A ranking is either the best edge alone (states of up to `scanDegreeMax` edges) or a block of
/// the min(degree, `rankedMax`) best edges in order. A child whose count rises can only move up, or
/// enter at the end of the block; so both stay exact at every moment at the cost of a few
/// comparisons. Edges whose count is zero (all their sequences were removed) rank last.
extension GrowingCore {
  @inline(__always)
  func edge(_ edge: UInt32, precedes other: UInt32) -> Bool {
    ChildCursor.precedes(
      count: Int(count(ofEdge: edge)), token: edges[edge].token,
      Int(count(ofEdge: other)), edges[other].token)
  }

  mutating func addEdge(from source: UInt32, by token: Int32, to target: UInt32) {
    let edge = addUnrankedEdge(from: source, by: token, to: target)
    if source == Self.root { return }
    let degree = states[source].degree
    if degree == 1 {
      states[source].ranking = edge
    } else if degree == Self.scanDegreeMax + 1 {
      makeRanking(of: source)
    } else if degree > Self.scanDegreeMax, degree <= Self.rankedMax {
      rankings[states[source].ranking &+ UInt32(degree - 1)] = edge
    }
  }

  /// Copies the edges of `original` to `copy`, a state without edges, with the same ranks.
  mutating func copyEdges(from original: UInt32, to copy: UInt32) {
    var edge = states[original].firstEdge
    while edge != Self.none {
      let (token, target, next) = (edges[edge].token, edges[edge].target, edges[edge].next)
      _ = addUnrankedEdge(from: copy, by: token, to: target)
      edge = next
    }
    if states[copy].degree > 0 { makeRanking(of: copy) }
  }

  /// Moves the child that `edge` leads to, whose count has just risen, up in the ranking.
  @inline(__always)
  mutating func raiseInRanking(of state: UInt32, _ edge: UInt32) {
    states[state].followed &+= 1
    let degree = states[state].degree
    let ranking = states[state].ranking
    if degree <= Self.scanDegreeMax {
      if ranking != edge && self.edge(edge, precedes: ranking) { states[state].ranking = edge }
      return
    }
    let ranked = min(degree, Self.rankedMax)
    let last = ranking &+ UInt32(ranked - 1)
    var place = ranking
    while place < last && rankings[place] != edge { place &+= 1 }
    if rankings[place] != edge {
      // The edge is not among the best, and `place` is the last of them.
      if !self.edge(edge, precedes: rankings[place]) { return }
      rankings[place] = edge
    }
    while place > ranking && self.edge(edge, precedes: rankings[place &- 1]) {
      rankings[place] = rankings[place &- 1]
      rankings[place &- 1] = edge
      place &-= 1
    }
  }

  /// Moves the child that `edge` leads to, whose count has just fallen, down in the ranking.
  mutating func lowerInRanking(of state: UInt32, _ edge: UInt32) {
    states[state].followed &-= 1
    let degree = states[state].degree
    let ranking = states[state].ranking
    if degree <= Self.scanDegreeMax {
      if ranking == edge { rankAll(of: state) }
      return
    }
    let last = ranking &+ UInt32(min(degree, Self.rankedMax) - 1)
    var place = ranking
    while place < last && rankings[place] != edge { place &+= 1 }
    if rankings[place] != edge { return }
    while place < last && self.edge(rankings[place &+ 1], precedes: edge) {
      rankings[place] = rankings[place &+ 1]
      rankings[place &+ 1] = edge
      place &+= 1
    }
    // At the end of a full block, an edge outside it may be better now.
    if place == last && degree > Self.rankedMax { rankAll(of: state) }
  }

  /// Ranks the children of a state whose degree now asks for another kind of ranking.
  private mutating func makeRanking(of state: UInt32) {
    if state == Self.root { return }
    if states[state].degree > Self.scanDegreeMax {
      states[state].ranking = UInt32(rankings.count)
      rankings.append(repeating: Self.none, count: Self.rankedMax)
    }
    rankAll(of: state)
  }

  /// Ranks a state's children anew by looking at all of them.
  private mutating func rankAll(of state: UInt32) {
    let degree = states[state].degree
    var edge = states[state].firstEdge
    if degree <= Self.scanDegreeMax {
      var best = edge
      while edge != Self.none {
        if self.edge(edge, precedes: best) { best = edge }
        edge = edges[edge].next
      }
      states[state].ranking = best
      return
    }
    let block = states[state].ranking
    var ranked: UInt32 = 0
    while edge != Self.none {
      // Insertion from the end; an edge that falls off the block's end is not among the best.
      var place = ranked
      if ranked < Self.rankedMax {
        ranked += 1
      } else if self.edge(edge, precedes: rankings[block &+ ranked &- 1]) {
        place = ranked - 1
      } else {
        edge = edges[edge].next
        continue
      }
      while place > 0 && self.edge(edge, precedes: rankings[block &+ place &- 1]) {
        rankings[block &+ place] = rankings[block &+ place &- 1]
        place -= 1
      }
      rankings[block &+ place] = edge
      edge = edges[edge].next
    }
  }
}
