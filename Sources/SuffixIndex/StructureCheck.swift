/// The check of `SealedIndex.checkStructure`.
///
/// Every pair of neighbouring ranks lies in exactly one node that separates them: the deepest node
/// with both. Therefore it suffices to walk, for each node, over its children and leaves in the
/// order of rank, and to compare the suffixes on both sides of each border. If they have exactly
/// the node's tokens in common and are in order, everywhere, then the suffixes are sorted and the
/// nodes are the intervals of their common prefixes, none missing and none too many. Each rank is a
/// leaf of one node, where its position in the text is checked.
struct StructureCheck: ~Copyable {
  typealias Damage = SealedIndex.CheckError

  private let core: SealedCore
  private let layout: SealedLayout
  private let sequences: Int
  private let isCancelled: () -> Bool
  private var unitsLeft = 0

  /// One bit for each position in the text that has a rank.
  private var seen: [UInt64]
  private var nodeCount: Int { layout.nodes.count - 1 }
  private var largeSeen = 0
  private var hashedSeen = 0
  /// Children of one node, by first rank.
  private var children: [Child] = []

  private struct Child {
    var node: UInt32
    var record: SealedCore.Node
  }

  init(_ core: SealedCore, sequences: Int, _ isCancelled: @escaping () -> Bool) {
    self.core = core
    layout = core.layout
    self.sequences = sequences
    self.isCancelled = isCancelled
    seen = [UInt64](repeating: 0, count: (core.layout.text.count + 63) / 64)
  }

  mutating func run() throws(Damage) {
    try checkChunks()
    try checkPadding()
    try checkText()
    try checkNodes()
    try checkHashSlots()
  }

  private mutating func spend(_ units: Int) throws(Damage) {
    unitsLeft -= units
    if unitsLeft < 0 {
      unitsLeft = WorkMeter.batchUnits
      if isCancelled() { throw .cancelled }
    }
  }

  private func require(
    _ holds: Bool, _ place: @autoclosure () -> SealedIndex.Place,
    _ problem: @autoclosure () -> String
  ) throws(Damage) {
    if !holds { throw .damaged(place(), problem: problem()) }
  }

  // MARK: Bytes between the records

  /// Checks that the overlap at the end of each chunk repeats the next chunk.
  private func checkChunks() throws(Damage) {
    let image = core.image
    for chunk in 1..<max(1, SealedImage.chunkCount(image.byteCount)) {
      let (before, after) = (image.bytes(ofChunk: chunk - 1), image.bytes(ofChunk: chunk))
      for offset in SealedImage.chunkBytes..<before.byteCount {
        // SAFETY: the overlap has the length that the chunk before gives it, and is no longer than
        // the next chunk.
        let same =
          unsafe before.unsafeLoad(fromByteOffset: offset, as: UInt8.self)
          == after.unsafeLoad(fromByteOffset: offset - SealedImage.chunkBytes, as: UInt8.self)
        try require(same, .chunkOverlap(chunk - 1), "is not the beginning of the next")
      }
    }
  }

  /// Checks that all bytes and bits outside records are zero.
  private func checkPadding() throws(Damage) {
    try checkZeros(fromBit: 8 * MemoryLayout<SealedLayout.Header>.size, to: layout.text.offset)
    let runs = [layout.text, layout.suffixes, layout.nodes, layout.largeCounts, layout.hash]
    for (place, run) in runs.enumerated() {
      let end = place + 1 < runs.count ? runs[place + 1].offset : core.image.byteCount
      try checkZeros(fromBit: 8 * run.offset + run.count * run.bits, to: end)
    }
  }

  private func checkZeros(fromBit bit: Int, to end: Int) throws(Damage) {
    for byte in (bit / 8)..<max(bit / 8, end) {
      let used = byte == bit / 8 ? bit % 8 : 0
      try require(
        core.image.byte(at: byte) >> UInt8(used) == 0, .byte(byte), "belongs to nothing, is not 0")
    }
  }

  // MARK: Text

  private mutating func checkText() throws(Damage) {
    var separators = 0
    var largest: Int32 = SealedLayout.separator
    for position in 0..<layout.text.count {
      try spend(1)
      let token = core.text(at: position)
      largest = max(largest, token)
      if token == SealedLayout.separator {
        separators += 1
        try require(
          core.repeated(at: UInt32(position)) == 0, .text(position),
          "ends a sequence, and is said to be repeated")
      }
    }
    try require(
      separators == sequences, .header,
      "counts \(sequences) sequences, the text ends \(separators)")
    if layout.text.count > 0 {
      try require(
        core.text(at: layout.text.count - 1) == SealedLayout.separator,
        .text(layout.text.count - 1), "does not end a sequence, being the last")
    }
    let bits = SealedLayout.bits(UInt32(largest + 1))
    try require(
      bits == layout.textToken.bits, .header,
      "gives a token \(layout.textToken.bits) bits, the largest needs \(bits)")
  }

  // MARK: Nodes

  private mutating func checkNodes() throws(Damage) {
    let root = core.node(SealedCore.root)
    try require(
      root.firstRank == 0 && Int(root.count) == layout.suffixes.count && root.depth == 0
        && root.link == SealedCore.root && root.token == 0 && root.firstChild == 1,
      .node(0), "is not a root of \(layout.suffixes.count) suffixes")
    for node in 0..<UInt32(nodeCount) {
      try spend(2)
      try check(node)
    }
    let end = core.record(layout.nodes, nodeCount)
    let others = [
      layout.token, layout.firstRank, layout.count, layout.isLarge, layout.link, layout.depth,
      layout.isHashed, layout.hasEnd,
    ]
    try require(
      Int(end.load(layout.firstChild)) == nodeCount && others.allSatisfy { end.load($0) == 0 },
      .node(nodeCount), "does not end the last node's children and say no more")
    try require(
      largeSeen == layout.largeCounts.count, .header,
      "has \(layout.largeCounts.count) large counts, nodes have \(largeSeen)")
  }

  /// Checks the fields of a node that its parent's check has not covered.
  private mutating func check(_ node: UInt32) throws(Damage) {
    try checkCount(node)
    let record = core.node(node)
    let first = record.firstChild
    let end = core.node(node + 1).firstChild
    try require(
      first > node && first <= end && Int(end) <= nodeCount, .node(Int(node)),
      "has the children \(first) to \(end) of \(nodeCount) nodes")
    children.removeAll(keepingCapacity: true)
    for child in first..<end {
      try spend(1)
      let below = core.node(child)
      try checkPlace(of: child, below, in: node, record)
      if let last = children.last?.record {
        try require(
          ChildCursor.precedes(
            count: Int(last.count), token: last.token, Int(below.count), below.token),
          .node(Int(child)), "comes before its place among the children of node \(node)")
      }
      children.append(Child(node: child, record: below))
    }
    if children.count > 1 { children.sort { $0.record.firstRank < $1.record.firstRank } }
    try checkUnits(of: node, record)
    try checkLink(of: node, record)
  }

  private mutating func checkCount(_ node: UInt32) throws(Damage) {
    let record = core.record(layout.nodes, Int(node))
    if record.load(layout.isLarge) == 0 { return }
    try require(
      Int(record.load(layout.count)) == largeSeen && largeSeen < layout.largeCounts.count,
      .node(Int(node)), "has another large count than the next, \(largeSeen)")
    try require(
      core.load(layout.largeCounts, largeSeen, layout.largeCount) > layout.count.max,
      .largeCount(largeSeen), "is not large")
    largeSeen += 1
  }

  private func checkPlace(
    of child: UInt32, _ below: SealedCore.Node, in parent: UInt32, _ record: SealedCore.Node
  ) throws(Damage) {
    try require(
      below.depth > record.depth && Int(below.depth) <= core.depth, .node(Int(child)),
      "has \(below.depth) tokens, its parent \(record.depth), the longest pattern \(core.depth)")
    let (low, high) = (Int(below.firstRank), Int(below.firstRank) + Int(below.count))
    let (parentLow, parentHigh) = (Int(record.firstRank), Int(record.firstRank) + Int(record.count))
    try require(
      below.count >= 2 && low >= parentLow && high <= parentHigh, .node(Int(child)),
      "has the ranks \(low) to \(high), its parent \(parentLow) to \(parentHigh)")
    let token = core.token(ofRank: below.firstRank, at: record.depth)
    try require(
      token >= 0 && token == below.token, .node(Int(child)),
      "begins with token \(below.token), its first suffix with \(token)")
  }

  /// Walks over the parts of a node's interval: inner children, and the leaves between them.
  private mutating func checkUnits(
    of node: UInt32, _ record: SealedCore.Node
  ) throws(Damage) {
    var rank = record.firstRank
    let end = rank + record.count
    var units = 0
    var edges = children.count
    var next = 0
    while rank < end {
      try spend(1 + Int(record.depth) / 8)
      if units > 0 { try checkBorder(before: rank, node, record) }
      units += 1
      if next < children.count, children[next].record.firstRank == rank {
        let child = children[next]
        if record.isHashed {
          try checkHashed(
            .inner(child.node), token: child.record.token, in: node, record, .node(Int(child.node)))
        }
        rank += child.record.count
        next += 1
      } else {
        if try checkLeaf(rank, of: node, record) { edges += 1 }
        rank += 1
      }
    }
    try require(
      next == children.count, .node(Int(node)), "has children with ranks in common")
    try require(
      units > 1 || node == SealedCore.root, .node(Int(node)), "does not branch")
    let isHashed = edges > IntervalTree.scannedChildrenMax
    try require(
      record.isHashed == isHashed, .node(Int(node)),
      "has \(edges) children, \(record.isHashed ? "" : "not ")in the hash")
    if isHashed { hashedSeen += edges }
    let hasEnd = core.hasEnd(record.firstRank, record.depth)
    try require(
      record.hasEnd == hasEnd, .node(Int(node)),
      hasEnd
        ? "does not say that a sequence ends with its pattern"
        : "says that a sequence ends with its pattern")
  }

  /// Checks that the suffixes on both sides of a border have the node's tokens in common, no more,
  /// and are in order.
  private func checkBorder(
    before rank: UInt32, _ node: UInt32, _ record: SealedCore.Node
  ) throws(Damage) {
    let (one, other) = (Int(core.suffix(rank - 1)), Int(core.suffix(rank)))
    let depth = Int(record.depth)
    try require(
      max(one, other) + depth < layout.text.count, .suffix(rank: Int(rank)),
      "or the one before stands at \(max(one, other)), too near the end of the text")
    for offset in 0..<depth {
      let token = core.text(at: one + offset)
      try require(
        token >= 0 && token == core.text(at: other + offset), .suffix(rank: Int(rank)),
        "has \(offset) tokens in common with the one before, node \(node) asks for \(depth)")
    }
    if depth == core.depth { return }
    let (token, otherToken) = (core.text(at: one + depth), core.text(at: other + depth))
    try require(
      token < 0 || token < otherToken, .suffix(rank: Int(rank)),
      "is not larger than the one before, in node \(node)")
  }

  /// Returns true if the leaf continues behind the node's pattern.
  private mutating func checkLeaf(
    _ rank: UInt32, of node: UInt32, _ record: SealedCore.Node
  ) throws(Damage) -> Bool {
    let position = Int(core.suffix(rank))
    try require(
      position < layout.text.count, .suffix(rank: Int(rank)),
      "stands at \(position) of \(layout.text.count) tokens")
    try require(
      core.text(at: position) >= 0, .suffix(rank: Int(rank)), "begins with the end of a sequence")
    try require(
      seen[position / 64] & 1 << UInt64(position % 64) == 0, .suffix(rank: Int(rank)),
      "stands at \(position), where another one does")
    seen[position / 64] |= 1 << UInt64(position % 64)
    let repeated = core.repeated(at: UInt32(position))
    try require(
      repeated == record.depth, .text(position),
      "is said to be repeated for \(repeated) tokens, is for \(record.depth)")
    if Int(record.depth) == core.depth { return false }
    let token = core.text(at: position + Int(record.depth))
    if token < 0 { return false }
    if record.isHashed {
      try checkHashed(
        .leaf(position: UInt32(position)), token: token, in: node, record,
        .suffix(rank: Int(rank)))
    }
    return true
  }

  private func checkLink(of node: UInt32, _ record: SealedCore.Node) throws(Damage) {
    if node == SealedCore.root { return }
    let link = record.link
    if Int(record.depth) == core.depth {
      return try require(link == 0, .node(Int(node)), "has full depth and the link \(link), not 0")
    }
    try require(
      Int(link) < nodeCount, .node(Int(node)), "has the link \(link) of \(nodeCount) nodes")
    let target = core.node(link)
    try require(
      target.depth == record.depth - 1, .node(Int(node)),
      "has \(record.depth) tokens, its link \(link) leads to \(target.depth)")
    let (one, other) = (Int(core.suffix(record.firstRank)) + 1, Int(core.suffix(target.firstRank)))
    for offset in 0..<Int(target.depth) {
      try require(
        core.text(at: one + offset) == core.text(at: other + offset), .node(Int(node)),
        "has the link \(link), which leads to another pattern")
    }
  }

  // MARK: Hash

  private func checkHashed(
    _ child: SealedCore.Edge, token: Int32, in parent: UInt32, _ record: SealedCore.Node,
    _ place: SealedIndex.Place
  ) throws(Damage) {
    let found = core.edge(from: parent, record, token: token)
    try require(found == child, place, "is not found in the hash as a child of node \(parent)")
  }

  /// Every child was found, so it suffices that the number of taken slots equals that of the
  /// children.
  private mutating func checkHashSlots() throws(Damage) {
    let hash = layout.hash
    var taken = 0
    for slot in 0..<hash.count {
      try spend(1)
      let record = core.record(hash, slot)
      if record.load(layout.entry) != 0 {
        taken += 1
      } else {
        try require(
          record.load(layout.isLeaf) == 0 && record.load(layout.fingerprint) == 0,
          .hashSlot(slot), "is empty, and says more")
      }
    }
    try require(
      taken == hashedSeen, .header, "has a hash of \(taken) children, nodes have \(hashedSeen)")
    try require(
      hashedSeen < max(1, hash.count) && (hashedSeen > 0 || hash.count == 0), .header,
      "has \(hash.count) hash slots for \(hashedSeen) children")
    // A run of taken slots that wraps around ends at the beginning of the table.
    var run = 0
    for step in 0..<(hash.count + min(hash.count, SealedLayout.probesMax)) {
      try spend(1)
      let slot = step < hash.count ? step : step - hash.count
      run = core.load(hash, slot, layout.entry) == 0 ? 0 : run + 1
      try require(
        run < SealedLayout.probesMax, .hashSlot(slot), "ends a run of \(run) without an empty one")
    }
  }
}
