import RepriseModel

/// Builds a sealed index from finished sequences.
///
/// Time is near linear on any text: sorting is O(n · depth + n log n), the tree is one pass over the
/// sorted suffixes, and each suffix link is found from the parent's link by whole edges.
///
/// Memory is freed as soon as the image holds its content: text and suffixes before the nodes are
/// stored, the tree before the hash is filled. The peak is 28 bytes a node and the finished image,
/// some 27 bytes a token of real output.
public struct SealedIndexBuilder: ~Copyable {
  private let depth: Int
  private var text: [Int32] = []
  private var tokenMax = SealedLayout.separator
  private var sequences = 0

  /// The most tokens that one index may hold, separators included: ranks and positions share their
  /// 32 bits with a flag.
  public static let textTokensMax = 1 << 30

  /// Creates an empty builder.
  ///
  /// - Parameters:
  ///   - depth: Longest pattern whose count is kept; in `Depth.range`.
  ///   - tokensExpected: The number of tokens to reserve room for.
  public init(depth: Int, tokensExpected: Int = 0) {
    precondition(
      Depth.range.contains(depth),
      "depth is \(depth), must be in \(Depth.range)")
    self.depth = depth
    text.reserveCapacity(tokensExpected)
  }

  /// Adds one finished sequence. The order matters only for `forEachSequence`.
  ///
  /// - Precondition: Tokens are in 0..<2^31 − 1, and the text stays within `textTokensMax`.
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

  /// Thrown by `build` when it was cancelled. Nothing was built.
  public struct Cancelled: Error, Equatable, CustomStringConvertible {
    public var description: String { "building the index was cancelled" }
  }

  /// Builds the index.
  ///
  /// The same sequences always give the same bytes, on every machine.
  public consuming func build() -> SealedImageBuffer {
    do throws(Cancelled) {
      return try build { false }
    } catch {
      preconditionFailure("nothing cancelled it")
    }
  }

  /// Memory of an index that is being built, in bytes.
  public struct Memory: Equatable, Sendable {
    /// Bytes allocated so far and not freed.
    public var taken: Int
    /// The peak from here on; exact once the tree is known.
    public var peak: Int
  }

  /// Peak memory of building, in bytes, where the tree of the text is known.
  ///
  /// - Parameters:
  ///   - textTokens: Tokens and separators.
  ///   - nodes: The number of patterns that branch.
  ///   - imageBytes: Bytes of the finished image.
  public static func peakBytes(textTokens: Int, nodes: Int, imageBytes: Int) -> Int {
    // Either text, suffixes, depths and the tree, together with the image's text; or the tree and
    // its order, together with the image.
    max(
      12 * textTokens + IntervalTree.bytes(nodes: nodes),
      IntervalTree.bytes(nodes: nodes) + 8 * nodes + imageBytes)
  }

  /// Builds the index, unless it is cancelled.
  ///
  /// - Parameters:
  ///   - isCancelled: Called on the caller's thread every few milliseconds; `true` cancels.
  ///   - admits: Called with the memory after each stage; `false` cancels.
  /// - Throws: `Cancelled` soon after `isCancelled` has returned `true`.
  public consuming func build(
    isCancelled: @escaping () -> Bool, admits: (Memory) -> Bool = { _ in true }
  ) throws(Cancelled) -> SealedImageBuffer {
    var meter = WorkMeter(isCancelled)
    let (sequences, tokenMax, depth) = (sequences, tokenMax, depth)
    var text = text
    self.text = []
    var suffixes: [UInt32] = try meter.zeros(text.count - sequences)
    try SuffixSort.sort(text: text, suffixes: &suffixes, depth: depth, &meter)
    var tree = try IntervalTree(text: text, suffixes: suffixes, depth: depth, &meter)

    let (countBits, largeCounts) = try tree.countBits(&meter)
    var header = SealedLayout.Header(
      magic: SealedLayout.magic, version: SealedLayout.version, depth: UInt32(depth),
      textTokens: UInt32(text.count), sequences: UInt32(sequences), nodes: UInt32(tree.count),
      hashSlots: UInt32(SealedLayout.hashSlots(edges: tree.hashedEdges)),
      largeCounts: UInt32(largeCounts),
      // One more value, for the separator, which is 0 in the image.
      tokenBits: UInt32(SealedLayout.bits(UInt32(tokenMax + 1))),
      countBits: UInt32(countBits))
    var layout = SealedLayout(header)
    let nodes = tree.count
    let treeBytes = IntervalTree.bytes(nodes: nodes)
    func admit(_ taken: Int, peak: Int) throws(Cancelled) {
      if !admits(Memory(taken: taken, peak: max(taken, peak))) { throw Cancelled() }
    }
    try admit(
      9 * text.count + treeBytes,
      peak: Self.peakBytes(
        textTokens: text.count, nodes: nodes, imageBytes: layout.byteCount))

    var buffer = SealedImageBuffer(header, byteCount: layout.byteCount)
    try Self.storeText(text, tree.repeated, in: buffer, layout, &meter)
    text = []
    tree.dropRepeated()
    try Self.storeSuffixes(suffixes, in: buffer, layout, &meter)
    suffixes = []
    try admit(
      treeBytes + layout.suffixes.end, peak: treeBytes + 8 * nodes + layout.byteCount)

    // A builder writes no damage; the precondition at the end checks it.
    let mark = DamageMark()
    defer { withExtendedLifetime(mark) {} }
    var core = SealedCore(image: buffer.image, layout: layout, depth: depth, mark: .init(mark))
    let parents = try Self.storeNodes(consume tree, in: buffer, core, &meter)
    try admit(4 * nodes + layout.largeCounts.end, peak: 4 * nodes + layout.byteCount)
    // Only many children whose keys were chosen to collide need a second round: all other keys
    // spread (see `probesMax`).
    while true {
      try buffer.clear(upTo: layout.byteCount, meter)
      if try Self.fillHash(buffer, core, &meter) { break }
      header.hashSlots *= 2
      layout = SealedLayout(header)
      let larger = SealedImageBuffer(header, byteCount: layout.byteCount)
      // The hash is last, so everything before it stays in place.
      try larger.copy(upTo: layout.hash.offset, of: buffer, meter)
      let bytes = 4 * nodes + buffer.byteCount + larger.byteCount
      try admit(bytes, peak: bytes)
      buffer = larger
      core = SealedCore(image: buffer.image, layout: layout, depth: depth, mark: .init(mark))
    }
    try Self.link(buffer, core, parents: parents, &meter)
    precondition(!mark.isSet, "a built image is whole")
    try admit(layout.byteCount, peak: layout.byteCount)
    return buffer
  }

  private static func storeText(
    _ text: [Int32], _ repeated: [UInt8], in buffer: SealedImageBuffer, _ layout: SealedLayout,
    _ meter: inout WorkMeter
  ) throws(Cancelled) {
    try buffer.clear(layout.text, meter)
    for batch in Batches(text.indices) {
      try meter.check()
      for position in batch {
        buffer.store(UInt32(text[position] + 1), layout.text, position, layout.textToken)
        buffer.store(UInt32(repeated[position]), layout.text, position, layout.repeated)
      }
    }
  }

  private static func storeSuffixes(
    _ suffixes: [UInt32], in buffer: SealedImageBuffer, _ layout: SealedLayout,
    _ meter: inout WorkMeter
  ) throws(Cancelled) {
    try buffer.clear(layout.suffixes, meter)
    for batch in Batches(suffixes.indices) {
      try meter.check()
      for rank in batch {
        buffer.store(suffixes[rank], layout.suffixes, rank, layout.suffixPosition)
      }
    }
  }

  /// Stores the nodes level by level, with the children of each together and in the order of
  /// `ChildCursor.precedes`. Text and suffixes must be stored already.
  ///
  /// - Returns: The parent of each node, by its number in the image.
  private static func storeNodes(
    _ tree: consuming IntervalTree, in buffer: SealedImageBuffer, _ core: SealedCore,
    _ meter: inout WorkMeter
  ) throws(Cancelled) -> [UInt32] {
    let layout = core.layout
    try buffer.clear(layout.nodes, meter)
    try buffer.clear(layout.largeCounts, meter)
    // Indexed by number in the image: the number in the tree, and the parent.
    var oldOfNew: [UInt32] = [0]
    var parents: [UInt32] = [0]
    oldOfNew.reserveCapacity(tree.count)
    parents.reserveCapacity(tree.count)
    buffer.store(1, layout.nodes, 0, layout.token)
    var children: [(count: UInt32, token: Int32, node: UInt32)] = []
    var large: UInt32 = 0
    var new = 0
    while new < oldOfNew.count {
      let node = tree[Int(oldOfNew[new])]
      children.removeAll(keepingCapacity: true)
      var child = node.lastChild
      while child != IntervalTree.none {
        let below = tree[Int(child)]
        let token = core.token(ofRank: below.firstRank, at: UInt32(node.depth))
        children.append((below.count, token, child))
        child = below.olderSibling
        try meter.spend(2)
      }
      try meter.sort(&children) {
        ChildCursor.precedes(count: Int($0.count), token: $0.token, Int($1.count), $1.token)
      }
      try meter.spend(2)
      buffer.store(node.firstRank, layout.nodes, new, layout.firstRank)
      if node.count <= layout.count.max {
        buffer.store(node.count, layout.nodes, new, layout.count)
      } else {
        buffer.store(node.count, layout.largeCounts, Int(large), layout.largeCount)
        buffer.store(large, layout.nodes, new, layout.count)
        buffer.store(1, layout.nodes, new, layout.isLarge)
        large += 1
      }
      buffer.store(UInt32(oldOfNew.count), layout.nodes, new, layout.firstChild)
      buffer.store(UInt32(node.depth), layout.nodes, new, layout.depth)
      buffer.store(tree.isHashed(Int(oldOfNew[new])) ? 1 : 0, layout.nodes, new, layout.isHashed)
      buffer.store(
        core.hasEnd(node.firstRank, UInt32(node.depth)) ? 1 : 0, layout.nodes, new, layout.hasEnd)
      for child in children {
        buffer.store(UInt32(child.token + 1), layout.nodes, oldOfNew.count, layout.token)
        oldOfNew.append(child.node)
        parents.append(UInt32(new))
      }
      new += 1
    }
    buffer.store(UInt32(tree.count), layout.nodes, tree.count, layout.firstChild)
    return parents
  }

  /// Returns true if every search ends within `probesMax` slots.
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
    // depend on this order.
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

  /// True if an empty slot follows within `probesMax` slots of every place, so that unsuccessful
  /// searches end as well.
  private static func hasShortRuns(
    _ core: SealedCore, _ meter: inout WorkMeter
  ) throws(Cancelled) -> Bool {
    let hash = core.layout.hash
    var taken = 0
    // Once around, and on to the end of a run that wraps around.
    for slot in 0..<(hash.count + min(hash.count, SealedLayout.probesMax)) {
      try meter.spend(1)
      let place = slot < hash.count ? slot : slot - hash.count
      taken = core.load(hash, place, core.layout.entry) == 0 ? 0 : taken + 1
      if taken == SealedLayout.probesMax { return false }
    }
    return true
  }

  /// Computes suffix links. Parents come before children, so the parent's link is known and covers
  /// most of the pattern.
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
