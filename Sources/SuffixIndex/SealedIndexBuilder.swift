/// Builds a sealed index from finished sequences.
///
/// Peak memory is about 32 bytes a token beside the finished image. Time is near linear on any
/// text: sorting is O(n · depth + n log n), the tree is one pass over the sorted suffixes, and each
/// suffix link is found from the parent's link by whole edges.
public struct SealedIndexBuilder {
  private let depth: Int
  private var text: [Int32] = []
  private var sequences = 0

  /// Most tokens that one index may hold, separators included: ranks and positions share their 32
  /// bits with a flag.
  public static let textTokensMax = 1 << 30

  /// - Parameters:
  ///   - depth: Longest pattern whose count is kept; in `GrowingIndex.depthRange`.
  ///   - tokensExpected: Room that is set aside.
  public init(depth: Int, tokensExpected: Int = 0) {
    precondition(
      GrowingIndex.depthRange.contains(depth),
      "depth is \(depth), must be in \(GrowingIndex.depthRange)")
    self.depth = depth
    text.reserveCapacity(tokensExpected)
  }

  /// Adds one finished sequence. Order matters only for `forEachSequence`.
  public mutating func append(_ tokens: Span<Int32>) {
    precondition(
      text.count + tokens.count < Self.textTokensMax,
      "a sealed index holds at most \(Self.textTokensMax) tokens")
    for position in tokens.indices {
      precondition(tokens[position] >= 0, "token ids are not negative")
      text.append(tokens[position])
    }
    text.append(SealedLayout.separator)
    sequences += 1
  }

  public consuming func build() -> SealedImageBuffer {
    var suffixes = [UInt32](repeating: 0, count: text.count - sequences)
    SuffixSort.sort(text: text, suffixes: &suffixes, depth: depth)
    let tree = IntervalTree(text: text, suffixes: suffixes, depth: depth)
    let order = tree.levelOrder(text: text, suffixes: suffixes)

    let layout = SealedLayout(
      textTokens: text.count, sequences: sequences, nodes: tree.count,
      hashSlots: tree.hashedEdges == 0 ? 0 : tree.hashedEdges * 3 / 2 + 1)
    let buffer = SealedImageBuffer(byteCount: layout.byteCount)
    buffer.store(
      SealedLayout.Header(
        magic: SealedLayout.magic, version: SealedLayout.version, depth: UInt32(depth),
        textTokens: UInt32(text.count), sequences: UInt32(sequences), nodes: UInt32(tree.count),
        hashSlots: UInt32(layout.hash.count)),
      layout.header, 0)
    for position in text.indices { buffer.store(text[position], layout.text, position) }
    for rank in suffixes.indices { buffer.store(suffixes[rank], layout.suffixes, rank) }
    for (new, old) in order.oldOfNew.enumerated() {
      let node = tree[Int(old)]
      buffer.store(
        SealedLayout.Node(
          firstRank: node.firstRank, count: node.count,
          linkAndFlag: tree.isHashed(Int(old)) ? SealedLayout.Node.hashedFlag : 0,
          firstChild: order.firstChild[new]),
        layout.nodes, new)
      buffer.store(node.depth, layout.nodeDepths, new)
      buffer.store(order.firstToken[new], layout.nodeTokens, new)
    }
    buffer.store(
      SealedLayout.Node(
        firstRank: 0, count: 0, linkAndFlag: 0, firstChild: UInt32(tree.count)),
      layout.nodes, tree.count)
    for slot in 0..<layout.hash.count { buffer.store(SealedLayout.emptySlot, layout.hash, slot) }

    let core = SealedCore(image: buffer.image, layout: layout, depth: depth)
    Self.fillHash(buffer, layout, core)
    Self.link(buffer, layout, core, parents: order.parent)
    return buffer
  }

  private static func fillHash(
    _ buffer: SealedImageBuffer, _ layout: SealedLayout, _ core: SealedCore
  ) {
    func insert(_ entry: UInt32, parent: UInt32, token: Int32) {
      var slot = SealedLayout.slot(node: parent, token: token, slots: layout.hash.count)
      while core.image.load(layout.hash, slot) != SealedLayout.emptySlot {
        slot += 1
        if slot == layout.hash.count { slot = 0 }
      }
      buffer.store(entry, layout.hash, slot)
    }
    // Nodes above come before nodes below, and a node's inner children before its leaves: look-ups
    // rest on this order.
    var inner: [UInt32] = []
    for parent in 0..<UInt32(layout.nodeTokens.count) {
      let record = core.node(parent)
      if !record.isHashed { continue }
      inner.removeAll(keepingCapacity: true)
      inner.append(contentsOf: record.firstChild..<core.node(parent + 1).firstChild)
      for child in inner {
        insert(child, parent: parent, token: core.image.load(layout.nodeTokens, Int(child)))
      }
      // Leaves are the ranks that no inner child covers.
      inner.sort { core.node($0).firstRank < core.node($1).firstRank }
      let depth = core.nodeDepth(parent)
      var rank = record.firstRank
      func insertLeaves(upTo end: UInt32) {
        while rank < end {
          let token = core.token(ofRank: rank, at: depth)
          if token != SealedLayout.separator {
            insert(rank | SealedLayout.leafFlag, parent: parent, token: token)
          }
          rank += 1
        }
      }
      for child in inner {
        insertLeaves(upTo: core.node(child).firstRank)
        rank = core.node(child).firstRank + core.node(child).count
      }
      insertLeaves(upTo: record.firstRank + record.count)
    }
  }

  /// Parents come before children, so the parent's link is known and leads most of the way.
  private static func link(
    _ buffer: SealedImageBuffer, _ layout: SealedLayout, _ core: SealedCore,
    parents: [UInt32]
  ) {
    for node in 1..<UInt32(max(1, layout.nodeTokens.count)) {
      var record = core.node(node)
      let depth = core.nodeDepth(node)
      // No cursor stands at full depth, and the suffix of such a pattern need not branch.
      if depth >= core.depth { continue }
      let parent = parents[Int(node)]
      var target = parent == SealedCore.root ? parent : core.node(parent).link
      let first = core.suffix(record.firstRank) + 1
      while core.nodeDepth(target) < depth - 1 {
        let token = core.text(at: first + Int(core.nodeDepth(target)))
        guard
          let child = core.innerChild(of: target, core.node(target), token: token)
        else { preconditionFailure("the suffix of a branching pattern branches") }
        target = child
      }
      record.linkAndFlag |= target
      buffer.store(record, layout.nodes, Int(node))
    }
  }
}
