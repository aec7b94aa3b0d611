/// The arrays of a sealed index and the basic look-ups of all other operations.
///
/// The bytes may have been damaged since they were written. Therefore every index is checked where
/// it is used, every loop has a bound that damaged bytes cannot raise much, and numbers are added
/// with wrap-around. Bytes that no builder writes set the mark; the answer is then arbitrary but
/// within its type: at least one occurrence, tokens from −1 up, lengths as they were asked for.
struct SealedCore {
  let image: SealedImage
  let layout: SealedLayout
  let depth: Int
  let mark: DamageMark.Reference

  static let root: UInt32 = 0

  /// A child of a node: a node itself, or the one suffix that continues with a token.
  enum Edge: Equatable {
    case inner(UInt32)
    /// A place where the suffix stands in the text.
    case leaf(position: UInt32)
  }

  /// A decoded node. The optimizer does not load the fields that a caller does not use.
  struct Node {
    var firstRank: UInt32
    /// Occurrences of the node's pattern; at least 2, except in the root.
    var count: UInt32
    var link: UInt32
    var firstChild: UInt32
    /// First token of the edge that leads here.
    var token: Int32
    var depth: UInt32
    var isHashed: Bool
    /// True if a sequence ends with the pattern.
    var hasEnd: Bool
  }

  @inline(__always)
  func record(_ run: SealedImage.Run, _ index: Int) -> SealedImage.Record {
    image.record(run, index, mark)
  }

  @inline(__always)
  func load(_ run: SealedImage.Run, _ index: Int, _ field: SealedImage.Field) -> UInt32 {
    record(run, index).load(field)
  }

  @inline(__always) func node(_ node: UInt32) -> Node {
    let record = record(layout.nodes, Int(node))
    let count = record.load(layout.count)
    return Node(
      firstRank: record.load(layout.firstRank),
      count: record.load(layout.isLarge) == 0
        ? count : load(layout.largeCounts, Int(count), layout.largeCount),
      link: record.load(layout.link), firstChild: record.load(layout.firstChild),
      token: Int32(bitPattern: record.load(layout.token)) &- 1, depth: record.load(layout.depth),
      isHashed: record.load(layout.isHashed) != 0, hasEnd: record.load(layout.hasEnd) != 0)
  }

  /// The children of `parent` that are nodes. They lie behind it, and are few where they are not
  /// hashed.
  @inline(__always)
  func innerChildren(_ parent: UInt32, _ record: Node) -> Range<UInt32> {
    let first = record.firstChild
    let end = node(parent &+ 1).firstChild
    // Nodes are numbered in 31 bits, so an end before the first child gives a large difference. A
    // first child of 0 is not a child and reveals pages of zeros.
    let isSound =
      first > parent
      && (record.isHashed
        ? first <= end && end < UInt32(truncatingIfNeeded: layout.nodes.count)
        : end &- first <= UInt32(IntervalTree.scannedChildrenMax))
    if !isSound {
      mark.set()
      return first..<first
    }
    return first..<end
  }

  @inline(__always) func text(at position: Int) -> Int32 {
    Int32(bitPattern: load(layout.text, position, layout.textToken)) &- 1
  }

  /// The number of tokens from a position on that occur elsewhere too.
  @inline(__always) func repeated(at position: UInt32) -> UInt32 {
    load(layout.text, Int(position), layout.repeated)
  }

  @inline(__always) func suffix(_ rank: UInt32) -> UInt32 {
    load(layout.suffixes, Int(rank), layout.suffixPosition)
  }

  /// The token at `depth` of the suffix at `rank`, or the separator.
  @inline(__always) func token(ofRank rank: UInt32, at depth: UInt32) -> Int32 {
    text(at: Int(suffix(rank)) + Int(depth))
  }

  /// True if a sequence ends with the pattern of `depth` tokens that the suffix at `rank`, the first of
  /// its interval, begins with. False at full depth, where no continuation is counted.
  func hasEnd(_ rank: UInt32, _ depth: UInt32) -> Bool {
    depth < self.depth && rank < layout.suffixes.count && token(ofRank: rank, at: depth) < 0
  }

  // MARK: Children

  /// The child of `parent` that is a node and whose edge begins with `token`.
  @inline(__always)
  func innerChild(of parent: UInt32, _ record: Node, token: Int32) -> UInt32? {
    let inner = innerChildren(parent, record)
    if record.isHashed {
      guard
        case .inner(let child)? = hashed(parent, record, token: token, inner, leaves: false)
      else { return nil }
      return child
    }
    for child in inner where node(child).token == token { return child }
    return nil
  }

  /// The child of `parent` by `token`.
  @inline(__always)
  func edge(from parent: UInt32, _ record: Node, token: Int32) -> Edge? {
    let inner = innerChildren(parent, record)
    if record.isHashed { return hashed(parent, record, token: token, inner, leaves: true) }
    for child in inner where node(child).token == token { return .inner(child) }
    return leaf(of: parent, record, inner, token: token)
  }

  /// Looks for a child in the hash. A slot holds no key, only six bits of it: a node is recognised
  /// by lying among the parent's children, a leaf by lying in the parent's interval and by its
  /// token.
  ///
  /// A leaf further down the same edge would match as well. But the builder enters a node's
  /// children before those of any node below, and nodes before leaves, and a search meets only
  /// entries made before the one it looks for; so the first match is right.
  ///
  /// - Complexity: O(1) on average, `probesMax` slots at worst.
  private func hashed(
    _ parent: UInt32, _ record: Node, token: Int32, _ inner: Range<UInt32>, leaves: Bool
  ) -> Edge? {
    var (slot, fingerprint) = layout.slot(node: parent, token: token)
    for _ in 0..<SealedLayout.probesMax {
      let found = self.record(layout.hash, slot)
      let entry = found.load(layout.entry)
      if entry == 0 { return nil }
      if found.load(layout.fingerprint) == fingerprint {
        if found.load(layout.isLeaf) == 0 {
          if inner.contains(entry - 1), node(entry - 1).token == token { return .inner(entry - 1) }
        } else if leaves, (entry - 1) &- record.firstRank < record.count {
          let position = suffix(entry - 1)
          if text(at: Int(position) + Int(record.depth)) == token {
            return .leaf(position: position)
          }
        }
      }
      slot += 1
      if slot == layout.hash.count { slot = 0 }
    }
    // No builder leaves a run of this many slots without an empty one.
    mark.set()
    return nil
  }

  /// The one suffix of an interval that continues with `token`, which none of the few inner
  /// children does. Ranks are in the order of tokens, so it can lie only between the inner children
  /// of the next smaller and the next larger token: usually there is no rank between them.
  private func leaf(
    of parent: UInt32, _ record: Node, _ inner: Range<UInt32>, token: Int32
  ) -> Edge? {
    let depth = record.depth
    if depth >= self.depth { return nil }
    var low = record.firstRank
    var high = low &+ record.count
    for child in inner {
      let record = node(child)
      let first = record.firstRank
      if record.token < token {
        low = max(low, first &+ record.count)
      } else {
        high = min(high, first)
      }
    }
    while low < high {
      let middle = low + (high - low) / 2
      let position = suffix(middle)
      let found = text(at: Int(position) + Int(depth))
      if found == token { return .leaf(position: position) }
      if found < token { low = middle + 1 } else { high = middle }
    }
    return nil
  }

  /// The leaves directly below a node, in the order of their tokens.
  struct Leaves {
    let parent: UInt32
    let record: Node
    let inner: Range<UInt32>
    var rank: UInt32
    /// The last token. Tokens rise, so a damaged interval ends at the latest with the vocabulary.
    var token = Int32.min
  }

  func leaves(of parent: UInt32, _ record: Node) -> Leaves {
    var leaves = Leaves(
      parent: parent, record: record, inner: innerChildren(parent, record), rank: record.firstRank)
    if record.depth >= depth { leaves.rank = record.firstRank &+ record.count }
    return leaves
  }

  /// Returns the next leaf, or `nil` after the last one.
  ///
  /// - Complexity: O(1) look-ups on average over all children.
  func next(_ leaves: inout Leaves) -> (token: Int32, position: UInt32)? {
    let record = leaves.record
    while leaves.rank < record.firstRank &+ record.count {
      let rank = leaves.rank
      let position = suffix(rank)
      let token = text(at: Int(position) + Int(record.depth))
      if token <= leaves.token {
        mark.set()
        return nil
      }
      leaves.token = token
      if token < 0 {
        // Many suffixes may end here; they come first.
        leaves.rank = firstGoingOn(from: rank, record)
      } else if let child = innerChild(leaves, token: token) {
        let below = node(child)
        leaves.rank = max(rank + 1, below.firstRank &+ below.count)
      } else {
        leaves.rank += 1
        return (token, position)
      }
    }
    return nil
  }

  /// The first rank of a node's interval whose suffix continues behind the node's pattern.
  func firstGoingOn(from rank: UInt32, _ record: Node) -> UInt32 {
    var (low, high) = (rank + 1, record.firstRank &+ record.count)
    while low < high {
      let middle = low + (high - low) / 2
      if token(ofRank: middle, at: record.depth) < 0 { low = middle + 1 } else { high = middle }
    }
    return low
  }

  /// The inner child whose interval begins at the current rank of the leaves, if there is one.
  @inline(__always)
  private func innerChild(_ leaves: Leaves, token: Int32) -> UInt32? {
    if leaves.record.isHashed { return innerChild(of: leaves.parent, leaves.record, token: token) }
    for child in leaves.inner where node(child).firstRank == leaves.rank { return child }
    return nil
  }
}
