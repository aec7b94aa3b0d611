/// An immutable index over finished sequences: a suffix array with the tree of its intervals.
///
/// ## The structure
///
/// The text is all sequences, each followed by a separator. The suffix array lists the positions
/// of the text in the order of the suffixes that begin there, compared up to `depth` tokens and
/// never past a separator. All occurrences of a pattern are then one interval of ranks. The
/// intervals of *branching* patterns (those that are followed by different tokens, or end some
/// sequence) form a tree, and only they are stored:
///
///     text:  a b c | a b d |          rank  suffix
///                                      0    a b c |     ┐ node "a b", 2 occurrences
///                                      1    a b d |     ┘
///     root ── a b ── c (leaf)          2    b c |       ┐ node "b", 2 occurrences,
///       ├──── b ──── c, d (leaves)     3    b d |       ┘ suffix link of "a b"
///       ├──── c (leaf)                 4    c |
///       └──── d (leaf)                 5    d |
///
/// Leaves are suffixes whose pattern occurs once; rank and depth imply them, so they take no bytes
/// of their own. A node's children that are nodes lie together in the order of falling count, so
/// the most frequent continuation is the first; leaves follow them, in the order of rank, which is
/// the order of token. A child is found by a look at the first tokens (nodes with few) or through
/// a hash (nodes with many).
///
/// A cursor is (node, edge, length). It goes down by one token; where that fails it drops the
/// first token along the node's suffix link and comes down again by whole edges.
///
/// Abouelhoda, Kurtz, Ohlebusch: "Replacing suffix trees with enhanced suffix arrays", 2004. It
/// leaves the paper in three things: the depth is bounded, children are in order of count, and
/// links are stored for branching patterns only.
///
/// ## Where it lies
///
/// All arrays are flat integers in one `SealedImage`; the bytes on disk are the index, and nothing
/// is decoded at open.
public struct SealedIndex {
  public enum FormatError: Error, Equatable, CustomStringConvertible {
    /// The bytes don't begin as a sealed index does. They are damaged, or something else.
    case notASealedIndex
    /// Written by another version of Reprise.
    case version(found: Int, expected: Int)
    /// The header's sizes don't fit the bytes that are there. They are damaged or cut short.
    case size(bytes: Int, expectedBytes: Int)

    public var description: String {
      switch self {
      case .notASealedIndex:
        "the bytes are not a sealed index: its first eight bytes are missing"
      case .version(let found, let expected):
        "the sealed index has format version \(found), this program reads version \(expected)"
      case .size(let bytes, let expectedBytes):
        "the sealed index has \(bytes) bytes, its header asks for \(expectedBytes)"
      }
    }
  }

  /// See `AnyHistoryIndex`.
  public struct Reader {
    let image: SealedImage
    let layout: SealedLayout
    public let depth: Int
  }

  public let reader: Reader

  /// Tokens in all sequences, separators not counted.
  public var tokenCount: Int { reader.layout.suffixes.count }
  public let sequenceCount: Int
  public var byteCount: Int { reader.layout.byteCount }

  /// Opens an index where it lies. Reads the header alone.
  ///
  /// - Parameter image: Must stay as it is while the index is used.
  public init(_ image: SealedImage) throws(FormatError) {
    let headerArray = SealedImage.Array<SealedLayout.Header>(offset: 0, count: 1)
    guard image.byteCount >= SealedLayout.headerBytes else { throw .notASealedIndex }
    let header = image.load(headerArray, 0)
    guard header.magic == SealedLayout.magic else { throw .notASealedIndex }
    guard header.version == SealedLayout.version else {
      throw .version(found: Int(header.version), expected: Int(SealedLayout.version))
    }
    let (text, sequences) = (Int(header.textTokens), Int(header.sequences))
    guard GrowingIndex.depthRange.contains(Int(header.depth)), sequences <= text,
      header.nodes > 0
    else { throw .notASealedIndex }
    let layout = SealedLayout(
      textTokens: text, sequences: sequences, nodes: Int(header.nodes),
      hashSlots: Int(header.hashSlots))
    guard layout.byteCount == image.byteCount else {
      throw .size(bytes: image.byteCount, expectedBytes: layout.byteCount)
    }
    reader = Reader(image: image, layout: layout, depth: Int(header.depth))
    sequenceCount = sequences
  }

  /// Calls `body` with each sequence's tokens in the order in which they were given to the
  /// builder. This is how merging reads history back.
  ///
  /// - Complexity: O(tokens). Allocates one buffer.
  public func forEachSequence(_ body: (_ index: Int, _ tokens: Span<Int32>) throws -> Void) rethrows
  {
    var tokens: [Int32] = []
    var sequence = 0
    for position in 0..<reader.layout.text.count {
      let token = reader.text(at: position)
      if token == SealedLayout.separator {
        try body(sequence, tokens.span)
        sequence += 1
        tokens.removeAll(keepingCapacity: true)
      } else {
        tokens.append(token)
      }
    }
  }
}

extension SealedIndex.Reader {
  static let root: UInt32 = 0

  @inline(__always) func node(_ node: UInt32) -> SealedLayout.Node {
    image.load(layout.nodes, Int(node))
  }
  @inline(__always) func nodeDepth(_ node: UInt32) -> UInt32 {
    UInt32(image.load(layout.nodeDepths, Int(node)))
  }
  @inline(__always) func text(at position: Int) -> Int32 { image.load(layout.text, position) }
  @inline(__always) func suffix(_ rank: UInt32) -> Int { Int(image.load(layout.suffixes, Int(rank))) }

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
  /// parent's children, a leaf by lying in the parent's interval and by its token. A leaf further
  /// down the same edge would pass as well, so a node is looked for first, to the end of the run.
  private func hashed(
    _ parent: UInt32, _ record: SealedLayout.Node, token: Int32, innerEnd: UInt32, leaves: Bool
  ) -> UInt32? {
    var slot = SealedLayout.slot(node: parent, token: token, slots: layout.hash.count)
    var leaf: UInt32?
    // Bounded, so that a damaged hash without an empty slot ends the search as well.
    for _ in 0..<layout.hash.count {
      let entry = image.load(layout.hash, slot)
      if entry == SealedLayout.emptySlot { return leaf }
      if Self.isLeaf(entry) {
        let rank = entry & ~SealedLayout.leafFlag
        if leaves, leaf == nil, rank &- record.firstRank < record.count,
          self.token(ofRank: rank, at: nodeDepth(parent)) == token
        {
          leaf = entry
        }
      } else if entry >= record.firstChild, entry < innerEnd,
        image.load(layout.nodeTokens, Int(entry)) == token
      {
        return entry
      }
      slot += 1
      if slot == layout.hash.count { slot = 0 }
    }
    return leaf
  }

  /// The first rank of an interval whose suffix goes on at `depth` with `token` or a larger one.
  private func firstRank(in record: SealedLayout.Node, at depth: UInt32, from token: Int32) -> UInt32
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
