/// Where the arrays of a sealed index lie in its image. Described byte by byte in docs/storage.md.
struct SealedLayout {
  /// One interval of the suffix array: all suffixes that begin with one branching pattern.
  struct Node: BitwiseCopyable {
    /// First rank of the interval.
    var firstRank: UInt32
    /// Ranks in the interval: occurrences of the pattern. At least 2, but in the root.
    var count: UInt32
    /// Node of the pattern without its first token. Upper bit: `hashedFlag`.
    var linkAndFlag: UInt32
    /// First of the children that are nodes; they end where the next node's begin.
    var firstChild: UInt32

    /// Set where children, leaves among them, are found through the hash.
    static let hashedFlag: UInt32 = 1 << 31

    var link: UInt32 { linkAndFlag & ~Self.hashedFlag }
    var isHashed: Bool { linkAndFlag & Self.hashedFlag != 0 }
  }

  /// The first bytes of an image.
  struct Header: BitwiseCopyable {
    var magic: UInt64
    var version: UInt32
    var depth: UInt32
    var textTokens: UInt32
    var sequences: UInt32
    var nodes: UInt32
    var hashSlots: UInt32
  }

  /// "RPRSEAL\n", read as a little-endian integer: no text file begins like it by chance.
  static let magic: UInt64 = 0x0A_4C_41_45_53_52_50_52
  static let version: UInt32 = 1
  /// The header is padded to this, so that the arrays begin aligned.
  static let headerBytes = 64
  /// An image has whole pages of this size.
  static let pageBytes = 4096
  /// Stands after each sequence in the text. Smaller than every token, so that a suffix that ends
  /// sorts before those that go on.
  static let separator: Int32 = -1
  /// Upper bit of a hash entry or an edge that is a leaf; the other bits are its rank.
  static let leafFlag: UInt32 = 1 << 31
  static let emptySlot = UInt32.max

  let header: SealedImage.Run<Header>
  /// All sequences in order, each followed by a separator.
  let text: SealedImage.Run<Int32>
  /// Positions in the text, in the order of the suffixes that begin there. Separators have none.
  let suffixes: SealedImage.Run<UInt32>
  /// The root, then level by level, the children of a node together and in the order of
  /// `ChildCursor.precedes`; and one more, whose `firstChild` ends the last node's children.
  let nodes: SealedImage.Run<Node>
  /// First token of the edge that leads to each node.
  let nodeTokens: SealedImage.Run<Int32>
  /// Tokens in each node's pattern.
  let nodeDepths: SealedImage.Run<UInt8>
  /// Children of nodes with many, by (node, token): a node, or a rank with `leafFlag`.
  let hash: SealedImage.Run<UInt32>
  let byteCount: Int

  init(textTokens: Int, sequences: Int, nodes nodeCount: Int, hashSlots: Int) {
    var end = 0
    func place<Element>(_ count: Int, _: Element.Type) -> SealedImage.Run<Element> {
      let offset = (end + 15) & ~15
      let array = SealedImage.Run<Element>(offset: offset, count: count)
      end = array.end
      return array
    }
    header = place(1, Header.self)
    end = Self.headerBytes
    text = place(textTokens, Int32.self)
    suffixes = place(textTokens - sequences, UInt32.self)
    nodes = place(nodeCount + 1, Node.self)
    nodeTokens = place(nodeCount, Int32.self)
    nodeDepths = place(nodeCount, UInt8.self)
    hash = place(hashSlots, UInt32.self)
    // Whole pages, so that a store never puts an image among small values, which it aligns less.
    byteCount = (end + Self.pageBytes - 1) & ~(Self.pageBytes - 1)
  }

  @inline(__always)
  static func slot(node: UInt32, token: Int32, slots: Int) -> Int {
    let key = UInt64(node) << 32 | UInt64(UInt32(bitPattern: token))
    let mixed = key &* 0x9E37_79B9_7F4A_7C15
    // The upper half of mixed × slots is a slot without a division and without a power of two.
    return Int((mixed ^ mixed >> 29).multipliedFullWidth(by: UInt64(slots)).high)
  }
}
