import RepriseModel

/// The places of the arrays of a sealed index in its image, and the widths of their numbers in
/// bits. Described bit by bit in docs/internals/storage.md.
///
/// Every number has as many bits as the largest of its kind in this index needs: at 10 million
/// tokens that saves a third, and smaller records are also read faster.
struct SealedLayout {
  /// The first bytes of an image. They determine everything else.
  struct Header: BitwiseCopyable {
    var magic: UInt64
    var version: UInt32
    var depth: UInt32
    var textTokens: UInt32
    var sequences: UInt32
    var nodes: UInt32
    var hashSlots: UInt32
    /// The number of nodes whose count does not fit their record.
    var largeCounts: UInt32
    var tokenBits: UInt32
    var countBits: UInt32

    /// True if a builder may have written these sizes. Within them all arithmetic on positions and
    /// ranks stays inside its types, whatever the records contain.
    var isPlausible: Bool {
      guard textTokens <= SealedIndexBuilder.textTokensMax, sequences <= textTokens else {
        return false
      }
      let ranks = Int(textTokens) - Int(sequences)
      return Depth.range.contains(Int(depth))
        // An interval ends between two ranks, or is the root's.
        && (1...max(1, ranks)).contains(Int(nodes)) && largeCounts <= nodes
        // A node is the child of one node and a rank is the leaf of one node; the hash is a third
        // larger, and twice that where children collide (see `SealedIndexBuilder`).
        && Int(hashSlots) <= SealedLayout.hashSlotsMax(ranks: ranks)
        && SealedLayout.fieldBitsRange.contains(Int(tokenBits))
        && SealedLayout.fieldBitsRange.contains(Int(countBits))
    }
  }

  /// "RPRSEAL\n", read as a little-endian integer: no text file begins like it by chance.
  static let magic: UInt64 = 0x0A_4C_41_45_53_52_50_52
  static let version: UInt32 = 2
  /// The size of the padded header.
  static let headerBytes = 64
  /// An image consists of whole pages of this size.
  static let pageBytes = 4096
  /// Follows each sequence in the text. Smaller than every token, so that a suffix that ends sorts
  /// before those that continue. In the image all tokens are one larger, and the separator is 0.
  static let separator: Int32 = -1
  /// Bits of a token that a hash slot holds. They let an unsuccessful look-up skip the record in 63
  /// of 64 slots that it passes.
  static let fingerprintBits = 6
  private static let depthBits = 7
  /// Width of a token and of a count. 31 bits keep a token, less one, in an `Int32` that is −1 or
  /// more.
  static let fieldBitsRange = 1...31

  /// The most slots that a look-up in the hash visits. The builder ensures that an empty slot comes
  /// sooner; in a table of 300 million slots filled at random the longest run has some 500.
  static let probesMax = 1024

  /// The first number of slots for a hash of `edges` children.
  static func hashSlots(edges: Int) -> Int { edges == 0 ? 0 : edges * 4 / 3 + 1 }

  /// The largest number of slots that a hash may have.
  static func hashSlotsMax(ranks: Int) -> Int {
    min(4 * hashSlots(edges: 2 * ranks), Int(UInt32.max))
  }

  /// Sequences in order, each followed by a separator.
  let text: SealedImage.Run
  let textToken: SealedImage.Field
  /// The length of the longest pattern that begins at this position and also occurs elsewhere. A
  /// longer pattern that begins here occurs once, so only the text is read to extend it.
  let repeated: SealedImage.Field

  /// Positions in the text, in the order of the suffixes that begin there. Separators have no
  /// suffix.
  let suffixes: SealedImage.Run
  let suffixPosition: SealedImage.Field

  /// The intervals of the suffix array, each of all suffixes that begin with one branching pattern:
  /// the root, then level by level, the children of a node together and in the order of
  /// `ChildCursor.precedes`; and one more, whose `firstChild` ends the last node's children.
  let nodes: SealedImage.Run
  /// First rank of the interval.
  let firstRank: SealedImage.Field
  /// Ranks in the interval, which are the occurrences of the pattern; or, where `isLarge`, their
  /// index in `largeCounts`.
  let count: SealedImage.Field
  /// 1 where the count does not fit.
  let isLarge: SealedImage.Field
  /// The node of the pattern without its first token.
  let link: SealedImage.Field
  /// First of the children that are nodes; they end where the next node's begin.
  let firstChild: SealedImage.Field
  /// First token of the edge that leads to the node.
  let token: SealedImage.Field
  /// Tokens in the pattern.
  let depth: SealedImage.Field
  /// 1 where children, leaves among them, are found through the hash.
  let isHashed: SealedImage.Field
  /// 1 where a sequence ends with the pattern, so that not all of its occurrences are continued.
  let hasEnd: SealedImage.Field

  let largeCounts: SealedImage.Run
  let largeCount: SealedImage.Field

  /// The children of nodes with many children, by (node, token).
  let hash: SealedImage.Run
  /// 0 for an empty slot; otherwise a node or a rank, plus one.
  let entry: SealedImage.Field
  /// 1 where the entry is a rank.
  let isLeaf: SealedImage.Field
  let fingerprint: SealedImage.Field

  let byteCount: Int

  /// The run of text tokens alone, which is the first in the image.
  static func textRun(tokens: Int, tokenBits: Int) -> SealedImage.Run {
    SealedImage.Run(offset: headerBytes, count: tokens, bits: tokenBits + depthBits)
  }

  /// Computes the places from the header.
  ///
  /// - Precondition: The header is plausible.
  init(_ header: Header) {
    precondition(header.isPlausible, "a layout is made of sizes that were checked")
    let ranks = Int(header.textTokens) - Int(header.sequences)
    // Ranks plus one, and the root's count, must fit.
    let rankBits = Self.bits(UInt32(ranks))
    let nodeBits = Self.bits(header.nodes)

    var end = Self.headerBytes
    var recordBits = 0
    func field(_ bits: Int) -> SealedImage.Field {
      recordBits += bits
      return SealedImage.Field(shift: recordBits - bits, bits: bits)
    }
    func run(_ count: Int) -> SealedImage.Run {
      let run = SealedImage.Run(offset: end, count: count, bits: recordBits)
      // Records of whole words begin at word boundaries, so that small indexes load one cache line
      // less.
      end = (run.end + 7) & ~7
      recordBits = 0
      return run
    }
    textToken = field(Int(header.tokenBits))
    repeated = field(Self.depthBits)
    text = run(Int(header.textTokens))
    assert(
      text.end == Self.textRun(tokens: text.count, tokenBits: textToken.bits).end,
      "a text can be read alone")

    suffixPosition = field(Self.bits(header.textTokens))
    suffixes = run(ranks)

    token = field(Int(header.tokenBits))
    firstRank = field(rankBits)
    count = field(Int(header.countBits))
    isLarge = field(1)
    firstChild = field(nodeBits)
    link = field(nodeBits)
    depth = field(Self.depthBits)
    isHashed = field(1)
    hasEnd = field(1)
    nodes = run(Int(header.nodes) + 1)

    largeCount = field(rankBits)
    largeCounts = run(Int(header.largeCounts))

    entry = field(max(nodeBits, rankBits))
    isLeaf = field(1)
    fingerprint = field(Self.fingerprintBits)
    hash = run(Int(header.hashSlots))

    // Whole pages, because a store aligns smaller values less strictly; and room for the word that
    // the last field is read with.
    byteCount = (end + SealedImage.overlapBytes + Self.pageBytes - 1) & ~(Self.pageBytes - 1)
    assert(nodes.bits <= 8 * (SealedImage.overlapBytes - 8), "a record outgrows the overlap")
  }

  /// The number of bits of the numbers up to `value`: at least 1.
  static func bits(_ value: UInt32) -> Int { max(1, 32 - value.leadingZeroBitCount) }

  /// The slot at which the search for a child begins, and the fingerprint that its slot holds.
  @inline(__always)
  func slot(node: UInt32, token: Int32) -> (slot: Int, fingerprint: UInt32) {
    let key = UInt64(node) << 32 | UInt64(UInt32(bitPattern: token))
    var mixed = key &* 0x9E37_79B9_7F4A_7C15
    mixed ^= mixed >> 29
    // The upper half of mixed × slots is a slot; it needs no division and no power of two.
    let slot = Int(mixed.multipliedFullWidth(by: UInt64(hash.count)).high)
    return (slot, UInt32(truncatingIfNeeded: mixed) & fingerprint.max)
  }
}
