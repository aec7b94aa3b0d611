/// The states, edges and hash of a growing index, addressed by 32-bit index into pools.
struct GrowingCore: ~Copyable {
  /// 24 bytes. Patterns are not stored: a state is identified by the path to it.
  struct State: BitwiseCopyable {
    /// State of the longest suffix that occurs elsewhere too; `none` for the root alone.
    var link: UInt32
    /// Occurrences of each of the state's patterns.
    var count: UInt32
    /// Occurrences that a token follows: the sum of the edges' counts. Not kept in the root.
    var followed: UInt32 = 0
    /// Head of the list of edges, newest first.
    var firstEdge: UInt32
    /// Up to `scanDegreeMax` edges: the best edge. Above: first slot of the state's block of
    /// `rankedMax` best edges in `rankings`. The root keeps no ranking: every token would have to
    /// update it, and nothing drafts from an empty match.
    var ranking: UInt32
    /// Number of edges (upper 24 bits: no vocabulary has more) and tokens in the longest pattern
    /// (lower 8).
    var degreeAndLength: UInt32

    var degree: Int { Int(degreeAndLength >> 8) }
    var length: UInt32 { degreeAndLength & 0xFF }
  }

  struct Edge: BitwiseCopyable {
    var token: Int32
    var target: UInt32
    var next: UInt32
    /// The state that the edge leaves. It tells hash hits from collisions.
    var source: UInt32
  }

  static let none = UInt32.max
  static let root: UInt32 = 0

  /// Lists of up to this many edges are walked; longer ones are searched through the hash.
  static let listDegreeMax = 3
  /// Children of states with up to this many edges are ranked by looking at all of them.
  static let scanDegreeMax = 8
  /// The number of best edges kept in order for states with more. At a minimum probability of 0.1
  /// the published policy drafts no more than ten children, and an estimate reads eight. Where a
  /// history has several indexes, it reads more only if children are about equally frequent.
  static let rankedMax = 16

  let depth: Int
  var states: Pool<State>
  var edges: Pool<Edge>
  var rankings: Pool<UInt32>
  var slots: Pool<UInt32>
  var slotsTaken = 0
  var tokenCount = 0
  var removals = 0

  init(depth: Int, tokensExpected: Int) {
    self.depth = depth
    // The reserve covers what real output needs (see the type's docstring); untouched pages cost
    // nothing.
    states = Pool(capacity: tokensExpected + tokensExpected / 2 + 64)
    edges = Pool(capacity: tokensExpected * 9 / 4 + 64)
    rankings = Pool(capacity: tokensExpected / 4 + 64)
    var slotCount = 64
    while slotCount < tokensExpected { slotCount *= 2 }
    slots = Pool(capacity: slotCount)
    slots.append(repeating: Self.none, count: slotCount)
    _ = addState(length: 0, link: Self.none, count: 0)
  }

  var bytesUsed: Int {
    states.bytesUsed + edges.bytesUsed + rankings.bytesUsed + slots.bytesUsed
  }

  var bytesKept: Int { states.bytes + edges.bytes + rankings.bytes + slots.bytes }

  mutating func addState(length: UInt32, link: UInt32, count: UInt32) -> UInt32 {
    states.append(
      State(
        link: link, count: count, firstEdge: Self.none, ranking: Self.none,
        degreeAndLength: length))
  }

  /// Occurrences of the child that an edge leads to.
  @inline(__always)
  func count(ofEdge edge: UInt32) -> UInt32 {
    states[edges[edge].target].count
  }

  // MARK: Edges

  @inline(__always)
  private func slot(source: UInt32, token: Int32) -> UInt32 {
    let key = UInt64(source) << 32 | UInt64(UInt32(bitPattern: token))
    let mixed = key &* 0x9E37_79B9_7F4A_7C15
    return UInt32(truncatingIfNeeded: mixed >> 32) & UInt32(truncatingIfNeeded: slots.count &- 1)
  }

  /// The edge from a state by a token, or `none`.
  @inline(__always)
  func edge(from state: UInt32, by token: Int32) -> UInt32 {
    if states[state].degree <= Self.listDegreeMax {
      var edge = states[state].firstEdge
      while edge != Self.none && edges[edge].token != token { edge = edges[edge].next }
      return edge
    }
    let mask = UInt32(truncatingIfNeeded: slots.count &- 1)
    var position = slot(source: state, token: token)
    while true {
      let edge = slots[position]
      if edge == Self.none || (edges[edge].source == state && edges[edge].token == token) {
        return edge
      }
      position = (position &+ 1) & mask
    }
  }

  /// Adds an edge to the list and the hash. The caller updates the ranking.
  mutating func addUnrankedEdge(from source: UInt32, by token: Int32, to target: UInt32) -> UInt32 {
    let edge = edges.append(
      Edge(token: token, target: target, next: states[source].firstEdge, source: source))
    states[source].firstEdge = edge
    states[source].degreeAndLength &+= 1 << 8
    let degree = states[source].degree
    if degree == Self.listDegreeMax + 1 {
      var listed = edge
      while listed != Self.none {
        addToHash(listed)
        listed = edges[listed].next
      }
    } else if degree > Self.listDegreeMax + 1 {
      addToHash(edge)
    }
    return edge
  }

  private mutating func addToHash(_ edge: UInt32) {
    if slotsTaken * 2 >= slots.count { growHash() }
    place(edge)
    slotsTaken += 1
  }

  private mutating func place(_ edge: UInt32) {
    let mask = UInt32(truncatingIfNeeded: slots.count &- 1)
    var position = slot(source: edges[edge].source, token: edges[edge].token)
    while slots[position] != Self.none { position = (position &+ 1) & mask }
    slots[position] = edge
  }

  @inline(never)
  private mutating func growHash() {
    var old = Pool<UInt32>(capacity: slots.count * 2)
    old.append(repeating: Self.none, count: slots.count * 2)
    swap(&old, &slots)
    for position in 0..<UInt32(old.count) where old[position] != Self.none {
      place(old[position])
    }
  }
}
