/// Builds a sealed index from finished sequences.
///
/// Peak memory is about 37 bytes a token, the finished image among it. Time is near linear on any
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

    let (countBits, largeCounts) = tree.countBits
    let header = SealedLayout.Header(
      magic: SealedLayout.magic, version: SealedLayout.version, depth: UInt32(depth),
      textTokens: UInt32(text.count), sequences: UInt32(sequences), nodes: UInt32(tree.count),
      hashSlots: UInt32(tree.hashedEdges == 0 ? 0 : tree.hashedEdges * 4 / 3 + 1),
      largeCounts: UInt32(largeCounts),
      // One more for the separator, which is 0 in the image.
      tokenBits: UInt32(SealedLayout.bits(UInt32((text.max() ?? 0) + 1))),
      countBits: UInt32(countBits))
    let layout = SealedLayout(header)
    let buffer = SealedImageBuffer(byteCount: layout.byteCount)
    buffer.storeHeader(header)
    for position in text.indices {
      buffer.store(UInt32(text[position] + 1), layout.text, position, layout.textToken)
      buffer.store(UInt32(tree.repeated[position]), layout.text, position, layout.repeated)
    }
    for rank in suffixes.indices {
      buffer.store(suffixes[rank], layout.suffixes, rank, layout.suffixPosition)
    }
    var large: UInt32 = 0
    for (new, old) in order.oldOfNew.enumerated() {
      let node = tree[Int(old)]
      buffer.store(node.firstRank, layout.nodes, new, layout.firstRank)
      if node.count <= layout.count.max {
        buffer.store(node.count, layout.nodes, new, layout.count)
      } else {
        buffer.store(node.count, layout.largeCounts, Int(large), layout.largeCount)
        buffer.store(large, layout.nodes, new, layout.count)
        buffer.store(1, layout.nodes, new, layout.isLarge)
        large += 1
      }
      buffer.store(order.firstChild[new], layout.nodes, new, layout.firstChild)
      buffer.store(UInt32(order.firstToken[new] + 1), layout.nodes, new, layout.token)
      buffer.store(UInt32(node.depth), layout.nodes, new, layout.depth)
      buffer.store(tree.isHashed(Int(old)) ? 1 : 0, layout.nodes, new, layout.isHashed)
    }
    buffer.store(UInt32(tree.count), layout.nodes, tree.count, layout.firstChild)

    let core = SealedCore(image: buffer.image, layout: layout, depth: depth)
    Self.fillHash(buffer, core)
    Self.link(buffer, core, parents: order.parent)
    return buffer
  }

  private static func fillHash(_ buffer: SealedImageBuffer, _ core: SealedCore) {
    let layout = core.layout
    func insert(_ entry: UInt32, isLeaf: Bool, parent: UInt32, token: Int32) {
      var (slot, fingerprint) = layout.slot(node: parent, token: token)
      while core.image.load(layout.hash, slot, layout.entry) != 0 {
        slot += 1
        if slot == layout.hash.count { slot = 0 }
      }
      buffer.store(entry + 1, layout.hash, slot, layout.entry)
      buffer.store(isLeaf ? 1 : 0, layout.hash, slot, layout.isLeaf)
      buffer.store(fingerprint, layout.hash, slot, layout.fingerprint)
    }
    // Nodes above come before nodes below, and a node's inner children before its leaves: look-ups
    // rest on this order.
    var intervals: [Range<UInt32>] = []
    for parent in 0..<UInt32(layout.nodes.count - 1) {
      let record = core.node(parent)
      if !record.isHashed { continue }
      intervals.removeAll(keepingCapacity: true)
      for child in core.innerChildren(parent, record) {
        let below = core.node(child)
        insert(child, isLeaf: false, parent: parent, token: below.token)
        intervals.append(below.firstRank..<(below.firstRank + below.count))
      }
      // Leaves are the ranks that no inner child covers.
      intervals.sort { $0.lowerBound < $1.lowerBound }
      var rank = record.firstRank
      func insertLeaves(upTo end: UInt32) {
        while rank < end {
          let token = core.token(ofRank: rank, at: record.depth)
          if token != SealedLayout.separator {
            insert(rank, isLeaf: true, parent: parent, token: token)
          }
          rank += 1
        }
      }
      for interval in intervals {
        insertLeaves(upTo: interval.lowerBound)
        rank = interval.upperBound
      }
      insertLeaves(upTo: record.firstRank + record.count)
    }
  }

  /// Parents come before children, so the parent's link is known and leads most of the way.
  private static func link(_ buffer: SealedImageBuffer, _ core: SealedCore, parents: [UInt32]) {
    let layout = core.layout
    for node in 1..<UInt32(max(1, parents.count)) {
      let record = core.node(node)
      // No cursor stands at full depth, and the suffix of such a pattern need not branch.
      if record.depth >= core.depth { continue }
      let parent = parents[Int(node)]
      var target = parent == SealedCore.root ? parent : core.node(parent).link
      let first = Int(core.suffix(record.firstRank)) + 1
      var reached = core.node(target)
      while reached.depth < record.depth - 1 {
        let token = core.text(at: first + Int(reached.depth))
        guard let child = core.innerChild(of: target, reached, token: token) else {
          preconditionFailure("the suffix of a branching pattern branches")
        }
        target = child
        reached = core.node(target)
      }
      buffer.store(target, layout.nodes, Int(node), layout.link)
    }
  }
}
