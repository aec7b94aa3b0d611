/// The arrays of a sealed index and the look-ups that everything else is made of.
struct SealedCore {
  let image: SealedImage
  let layout: SealedLayout
  let depth: Int

  static let root: UInt32 = 0

  @inline(__always) func node(_ node: UInt32) -> SealedLayout.Node {
    image.load(layout.nodes, Int(node))
  }
  @inline(__always) func nodeDepth(_ node: UInt32) -> UInt32 {
    UInt32(image.load(layout.nodeDepths, Int(node)))
  }
  @inline(__always) func text(at position: Int) -> Int32 { image.load(layout.text, position) }
  @inline(__always) func suffix(_ rank: UInt32) -> Int {
    Int(image.load(layout.suffixes, Int(rank)))
  }

  /// The token at `depth` of the suffix at `rank`, or the separator.
  @inline(__always) func token(ofRank rank: UInt32, at depth: UInt32) -> Int32 {
    text(at: suffix(rank) + Int(depth))
  }

  @inline(__always) static func isLeaf(_ edge: UInt32) -> Bool {
    edge & SealedLayout.leafFlag != 0
  }

  /// One position in the text where the pattern that runs into `edge` stands.
  @inline(__always) func position(ofEdge edge: UInt32) -> Int {
    suffix(Self.isLeaf(edge) ? edge & ~SealedLayout.leafFlag : node(edge).firstRank)
  }

  /// The child of `parent` that is a node and whose edge begins with `token`.
  @inline(__always)
  func innerChild(of parent: UInt32, _ record: SealedLayout.Node, token: Int32) -> UInt32? {
    let end = node(parent + 1).firstChild
    if !record.isHashed {
      for child in record.firstChild..<max(end, record.firstChild)
      where image.load(layout.nodeTokens, Int(child)) == token { return child }
      return nil
    }
    return hashed(parent, record, token: token, innerEnd: end, leaves: false)
  }

  /// The child of `parent` by `token`: a node, or a rank with the leaf flag.
  @inline(__always)
  func edge(from parent: UInt32, token: Int32) -> UInt32? {
    let record = node(parent)
    let end = node(parent + 1).firstChild
    if record.isHashed {
      return hashed(parent, record, token: token, innerEnd: end, leaves: true)
    }
    for child in record.firstChild..<max(end, record.firstChild)
    where image.load(layout.nodeTokens, Int(child)) == token { return child }
    return leaf(in: record, at: nodeDepth(parent), token: token)
  }

  /// Looks for a child in the hash. A slot holds no key: a node proves itself by lying among the
  /// parent's children, a leaf by lying in the parent's interval and by its token.
  ///
  /// A leaf further down the same edge would pass as well. But the builder enters a node's children
  /// before those of any node below, and nodes before leaves, and a search meets only what was
  /// entered before what it looks for; so what passes first is right.
  private func hashed(
    _ parent: UInt32, _ record: SealedLayout.Node, token: Int32, innerEnd: UInt32, leaves: Bool
  ) -> UInt32? {
    var slot = SealedLayout.slot(node: parent, token: token, slots: layout.hash.count)
    // Bounded, so that a damaged hash without an empty slot ends the search as well.
    for _ in 0..<layout.hash.count {
      let entry = image.load(layout.hash, slot)
      if entry == SealedLayout.emptySlot { return nil }
      if Self.isLeaf(entry) {
        let rank = entry & ~SealedLayout.leafFlag
        if leaves, rank &- record.firstRank < record.count,
          self.token(ofRank: rank, at: nodeDepth(parent)) == token
        {
          return entry
        }
      } else if entry >= record.firstChild, entry < innerEnd,
        image.load(layout.nodeTokens, Int(entry)) == token
      {
        return entry
      }
      slot += 1
      if slot == layout.hash.count { slot = 0 }
    }
    return nil
  }

  /// The first rank of an interval whose suffix goes on at `depth` with `token` or a larger one.
  private func firstRank(in record: SealedLayout.Node, at depth: UInt32, from token: Int32)
    -> UInt32
  {
    var (low, high) = (record.firstRank, record.firstRank &+ record.count)
    while low < high {
      let middle = low + (high - low) / 2
      if self.token(ofRank: middle, at: depth) < token { low = middle + 1 } else { high = middle }
    }
    return low
  }

  /// The one suffix of an interval that goes on with `token`, which no inner child does.
  private func leaf(in record: SealedLayout.Node, at depth: UInt32, token: Int32) -> UInt32? {
    if depth >= self.depth { return nil }
    let rank = firstRank(in: record, at: depth, from: token)
    guard rank < record.firstRank &+ record.count, self.token(ofRank: rank, at: depth) == token
    else { return nil }
    return rank | SealedLayout.leafFlag
  }

  /// Calls `body` with the leaves directly below `parent`, in the order of token, until it
  /// returns false.
  ///
  /// - Complexity: O(children of `parent`) look-ups.
  func forEachLeaf(of parent: UInt32, _ body: (_ token: Int32, _ rank: UInt32) -> Bool) {
    let record = node(parent)
    let depth = nodeDepth(parent)
    if depth >= self.depth { return }
    var rank = firstRank(in: record, at: depth, from: 0)
    while rank < record.firstRank &+ record.count {
      let token = token(ofRank: rank, at: depth)
      if let inner = innerChild(of: parent, record, token: token) {
        rank = max(rank + 1, node(inner).firstRank &+ node(inner).count)
      } else {
        if !body(token, rank) { return }
        rank += 1
      }
    }
  }
}
