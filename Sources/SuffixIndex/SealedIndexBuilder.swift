/// Builds a sealed index from finished sequences.
///
/// Peak memory is about 37 bytes a token, the finished image among it. Time is near linear on any
/// text: sorting is O(n · depth + n log n), the tree is one pass over the sorted suffixes, and each
/// suffix link is found from the parent's link by whole edges.
public struct SealedIndexBuilder {
  private let depth: Int
  private var text: [Int32] = []
  private var tokenMax = SealedLayout.separator
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
      let token = tokens[position]
      precondition(token >= 0 && token < .max, "token ids are in 0..<2^31 - 1")
      text.append(token)
      tokenMax = max(tokenMax, token)
    }
    text.append(SealedLayout.separator)
    sequences += 1
  }

  /// Thrown by `build` when the index is not wanted any more. Nothing was built.
  public struct Cancelled: Error, Equatable, CustomStringConvertible {
    public var description: String { "building the index was cancelled" }
  }

  /// Builds the index.
  ///
  /// The same sequences give the same bytes, whenever and wherever they are built.
  public consuming func build() -> SealedImageBuffer {
    do throws(Cancelled) {
      return try build { false }
    } catch {
      preconditionFailure("nobody cancelled")
    }
  }

  /// Builds the index, unless it is cancelled.
  ///
  /// - Parameter isCancelled: Whether the index is not wanted any more. Asked on the caller's thread,
  ///   every few milliseconds.
  /// - Throws: `Cancelled` soon after `isCancelled` has returned `true`.
  public consuming func build(
    isCancelled: @escaping () -> Bool
  ) throws(Cancelled) -> SealedImageBuffer {
    var meter = WorkMeter(isCancelled)
    var suffixes: [UInt32] = try meter.zeros(text.count - sequences)
    try SuffixSort.sort(text: text, suffixes: &suffixes, depth: depth, &meter)
    let tree = try IntervalTree(text: text, suffixes: suffixes, depth: depth, &meter)
    let order = try tree.levelOrder(text: text, suffixes: suffixes, &meter)

    let (countBits, largeCounts) = try tree.countBits(&meter)
    var header = SealedLayout.Header(
      magic: SealedLayout.magic, version: SealedLayout.version, depth: UInt32(depth),
      textTokens: UInt32(text.count), sequences: UInt32(sequences), nodes: UInt32(tree.count),
      hashSlots: UInt32(SealedLayout.hashSlots(edges: tree.hashedEdges)),
      largeCounts: UInt32(largeCounts),
      // One more for the separator, which is 0 in the image.
      tokenBits: UInt32(SealedLayout.bits(UInt32(tokenMax + 1))),
      countBits: UInt32(countBits))
    // Only a crowd of children whose keys were chosen to collide takes a second round: all other
    // keys spread (see `probesMax`).
    while true {
      let layout = SealedLayout(header)
      let buffer = try SealedImageBuffer(header, byteCount: layout.byteCount, meter)
      // Nothing that a builder writes is damaged; checked below.
      let mark = DamageMark()
      defer { withExtendedLifetime(mark) {} }
      let core = SealedCore(
        image: buffer.image, layout: layout, depth: depth, mark: .init(mark))
      try store(suffixes, tree, order, in: buffer, layout, &meter)
      if try Self.fillHash(buffer, core, &meter) {
        try Self.link(buffer, core, parents: order.parent, &meter)
        precondition(!mark.isSet, "a built image is whole")
        return buffer
      }
      header.hashSlots *= 2
    }
  }

  private borrowing func store(
    _ suffixes: [UInt32], _ tree: IntervalTree, _ order: IntervalTree.LevelOrder,
    in buffer: SealedImageBuffer, _ layout: SealedLayout, _ meter: inout WorkMeter
  ) throws(Cancelled) {
    for batch in Batches(text.indices) {
      try meter.check()
      for position in batch {
        buffer.store(UInt32(text[position] + 1), layout.text, position, layout.textToken)
        buffer.store(UInt32(tree.repeated[position]), layout.text, position, layout.repeated)
      }
    }
    for batch in Batches(suffixes.indices) {
      try meter.check()
      for rank in batch {
        buffer.store(suffixes[rank], layout.suffixes, rank, layout.suffixPosition)
      }
    }
    var large: UInt32 = 0
    for (new, old) in order.oldOfNew.enumerated() {
      try meter.spend(1)
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
  }

  /// Returns whether every search ends within `probesMax` slots.
  private static func fillHash(
    _ buffer: SealedImageBuffer, _ core: SealedCore, _ meter: inout WorkMeter
  ) throws(Cancelled) -> Bool {
    let layout = core.layout
    var probesMost = 0
    func insert(_ entry: UInt32, isLeaf: Bool, parent: UInt32, token: Int32) {
      var (slot, fingerprint) = layout.slot(node: parent, token: token)
      var probes = 1
      while probes < SealedLayout.probesMax && core.load(layout.hash, slot, layout.entry) != 0 {
        slot += 1
        if slot == layout.hash.count { slot = 0 }
        probes += 1
      }
      probesMost = max(probesMost, probes)
      if probes == SealedLayout.probesMax { return }
      buffer.store(entry + 1, layout.hash, slot, layout.entry)
      buffer.store(isLeaf ? 1 : 0, layout.hash, slot, layout.isLeaf)
      buffer.store(fingerprint, layout.hash, slot, layout.fingerprint)
    }
    // Nodes above come before nodes below, and a node's inner children before its leaves: look-ups
    // rest on this order.
    var intervals: [Range<UInt32>] = []
    for parent in 0..<UInt32(layout.nodes.count - 1) {
      let record = core.node(parent)
      try meter.spend(1)
      if !record.isHashed { continue }
      intervals.removeAll(keepingCapacity: true)
      for child in core.innerChildren(parent, record) {
        let below = core.node(child)
        insert(child, isLeaf: false, parent: parent, token: below.token)
        intervals.append(below.firstRank..<(below.firstRank + below.count))
        try meter.spend(2)
      }
      // Leaves are the ranks that no inner child covers.
      try meter.sort(&intervals) { $0.lowerBound < $1.lowerBound }
      intervals.append((record.firstRank + record.count)..<UInt32.max)
      var rank = record.firstRank
      for interval in intervals {
        while rank < interval.lowerBound {
          let token = core.token(ofRank: rank, at: record.depth)
          if token != SealedLayout.separator {
            insert(rank, isLeaf: true, parent: parent, token: token)
          }
          rank += 1
          try meter.spend(2)
        }
        rank = interval.upperBound
      }
      if probesMost == SealedLayout.probesMax { return false }
    }
    return try hasShortRuns(core, &meter)
  }

  /// Whether an empty slot comes soon wherever a search begins, also one that finds nothing.
  private static func hasShortRuns(
    _ core: SealedCore, _ meter: inout WorkMeter
  ) throws(Cancelled) -> Bool {
    let hash = core.layout.hash
    var taken = 0
    // Once around, and on to where a run that goes over the end has ended.
    for slot in 0..<(hash.count + min(hash.count, SealedLayout.probesMax)) {
      try meter.spend(1)
      let place = slot < hash.count ? slot : slot - hash.count
      taken = core.load(hash, place, core.layout.entry) == 0 ? 0 : taken + 1
      if taken == SealedLayout.probesMax { return false }
    }
    return true
  }

  /// Parents come before children, so the parent's link is known and leads most of the way.
  private static func link(
    _ buffer: SealedImageBuffer, _ core: SealedCore, parents: [UInt32], _ meter: inout WorkMeter
  ) throws(Cancelled) {
    let layout = core.layout
    for node in 1..<UInt32(max(1, parents.count)) {
      let record = core.node(node)
      try meter.spend(2)
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
