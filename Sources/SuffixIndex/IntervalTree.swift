/// The tree of the intervals of a suffix array, built in one pass over the ranks, with a stack of
/// the intervals that are still open.
struct IntervalTree {
  struct Node {
    var firstRank: UInt32
    var count: UInt32
    /// Newest inner child, and the next older child of the same parent.
    var lastChild: UInt32
    var olderSibling: UInt32
    var depth: UInt8
    /// Children of both kinds, counted up to `childrenMax`.
    var children: UInt8
  }

  /// Nodes with more children than this are looked up through the hash.
  static let scannedChildrenMax = 8
  /// One more than is scanned marks a node with many children; the exact number does not matter.
  private static let childrenMax = scannedChildrenMax + 1
  static let none = UInt32.max

  private var nodes: [Node] = []

  var count: Int { nodes.count }
  subscript(node: Int) -> Node { nodes[node] }
  func isHashed(_ node: Int) -> Bool { nodes[node].children > Self.scannedChildrenMax }

  /// The number of children, of both kinds, of all nodes that are looked up through the hash.
  private(set) var hashedEdges = 0

  /// For each place in the text, the number of tokens from there on that occur elsewhere too.
  private(set) var repeated: [UInt8]

  /// The width of the count field of a node's record, in bits, with which all counts together take
  /// the least space, and the number of counts that do not fit into it. Those counts are stored in
  /// a table, and the field holds their index in it.
  func countBits(
    _ meter: inout WorkMeter
  ) throws(SealedIndexBuilder.Cancelled) -> (bits: Int, large: Int) {
    // The number of counts with each bit length.
    var lengths = [Int](repeating: 0, count: 33)
    for batch in Batches(nodes.indices) {
      try meter.check()
      for node in batch { lengths[SealedLayout.bits(nodes[node].count)] += 1 }
    }
    let countBits = SealedLayout.bits(nodes[0].count)
    var best = (bits: countBits, large: 0)
    var large = 0
    for bits in stride(from: countBits, through: 1, by: -1) {
      if nodes.count * bits + large * countBits < nodes.count * best.bits + best.large * countBits,
        large <= 1 << bits
      {
        best = (bits, large)
      }
      large += lengths[bits]
    }
    return best
  }

  init(
    text: [Int32], suffixes: [UInt32], depth: Int, _ meter: inout WorkMeter
  ) throws(SealedIndexBuilder.Cancelled) {
    repeated = try meter.zeros(text.count)
    var open: [UInt32] = []
    func opened(firstRank: Int, depth: Int) -> Node {
      Node(
        firstRank: UInt32(firstRank), count: 0, lastChild: Self.none, olderSibling: Self.none,
        depth: UInt8(depth), children: 0)
    }
    // The largest possible number, so that no long copy is needed; untouched pages cost nothing.
    nodes.reserveCapacity(suffixes.count + 1)
    nodes.append(opened(firstRank: 0, depth: 0))
    open.append(0)
    for rank in suffixes.indices {
      try meter.spend(2)
      let common =
        rank + 1 == suffixes.count
        ? 0
        : Self.commonTokens(text, Int(suffixes[rank]), Int(suffixes[rank + 1]), atMost: depth)
      if common > nodes[Int(open[open.count - 1])].depth {
        open.append(UInt32(nodes.count))
        nodes.append(opened(firstRank: rank, depth: common))
      }
      let home = Int(open[open.count - 1])
      let leafDepth = Int(nodes[home].depth)
      repeated[Int(suffixes[rank])] = UInt8(leafDepth)
      if leafDepth < depth && text[Int(suffixes[rank]) + leafDepth] >= 0 {
        addChild(to: home)
      }
      while nodes[Int(open[open.count - 1])].depth > common {
        let closed = Int(open.removeLast())
        nodes[closed].count = UInt32(rank + 1) - nodes[closed].firstRank
        if nodes[Int(open[open.count - 1])].depth < common {
          open.append(UInt32(nodes.count))
          nodes.append(opened(firstRank: Int(nodes[closed].firstRank), depth: common))
        }
        let parent = Int(open[open.count - 1])
        nodes[closed].olderSibling = nodes[parent].lastChild
        nodes[parent].lastChild = UInt32(closed)
        addChild(to: parent)
      }
    }
    nodes[0].count = UInt32(suffixes.count)
  }

  /// Counts a child of a node, and the edges of nodes with many children.
  private mutating func addChild(to node: Int) {
    if nodes[node].children < Self.childrenMax {
      nodes[node].children += 1
      if nodes[node].children == Self.childrenMax { hashedEdges += Self.childrenMax }
    } else {
      hashedEdges += 1
    }
  }

  /// Memory of a tree with this number of nodes, in bytes.
  static func bytes(nodes: Int) -> Int { nodes * MemoryLayout<Node>.stride }

  /// Frees the depths by place in the text, once they are stored elsewhere.
  mutating func dropRepeated() { repeated = [] }

  /// The number of tokens that two suffixes have in common, up to a bound and up to a separator.
  private static func commonTokens(
    _ text: [Int32], _ position: Int, _ other: Int, atMost bound: Int
  ) -> Int {
    var common = 0
    while common < bound {
      let token = text[position + common]
      if token < 0 || token != text[other + common] { break }
      common += 1
    }
    return common
  }
}
