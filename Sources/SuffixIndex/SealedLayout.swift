/// Where the arrays of a sealed index lie in its image, and how many bits their numbers have.
/// Described bit by bit in docs/storage.md.
///
/// Every number has as many bits as the largest of its kind in this index needs: at 10 million
/// tokens that saves a third, and what is smaller is also read faster.
struct SealedLayout {
  /// The first bytes of an image. All else follows from it.
  struct Header: BitwiseCopyable {
    var magic: UInt64
    var version: UInt32
    var depth: UInt32
    var textTokens: UInt32
    var sequences: UInt32
    var nodes: UInt32
    var hashSlots: UInt32
    /// Nodes whose count does not fit their record.
    var largeCounts: UInt32
    var tokenBits: UInt32
    var countBits: UInt32

    /// Whether a builder may have written such sizes. Within them all arithmetic on positions and
    /// ranks stays inside its types, whatever the records say.
    var isPlausible: Bool {
      guard textTokens <= SealedIndexBuilder.textTokensMax, sequences <= textTokens else {
        return false
      }
      let ranks = Int(textTokens) - Int(sequences)
      return GrowingIndex.depthRange.contains(Int(depth))
        // An interval ends between two ranks, or is the root's.
        && (1...max(1, ranks)).contains(Int(nodes)) && largeCounts <= nodes
        // A node is one node's child and a rank is one node's leaf; a table is a third larger,
        // and twice that where children crowd (see `SealedIndexBuilder`).
        && Int(hashSlots) <= SealedLayout.hashSlotsMax(ranks: ranks)
        && SealedLayout.fieldBitsRange.contains(Int(tokenBits))
        && SealedLayout.fieldBitsRange.contains(Int(countBits))
    }
  }

  /// "RPRSEAL\n", read as a little-endian integer: no text file begins like it by chance.
  static let magic: UInt64 = 0x0A_4C_41_45_53_52_50_52
  static let version: UInt32 = 1
  /// The header is padded to this.
  static let headerBytes = 64
  /// An image has whole pages of this size.
  static let pageBytes = 4096
  /// Stands after each sequence in the text. Smaller than every token, so that a suffix that ends
  /// sorts before those that go on. In the image all tokens are one larger, so that it is 0.
  static let separator: Int32 = -1
  /// Bits of a token that a hash slot holds, so that a look-up that finds nothing reads no record
  /// in 63 of 64 slots that it passes.
  static let fingerprintBits = 6
  private static let depthBits = 7
  /// Bits of a token and of a count. 31 keep a token, less one, in an `Int32` that is −1 or more.
  static let fieldBitsRange = 1...31

  /// A look-up in the hash ends after so many slots. The builder sees to it that an empty one comes
  /// sooner; in a table of 300 million slots filled at random the longest run has some 500.
  static let probesMax = 1024

  /// How many slots a hash is given for so many children, at first.
  static func hashSlots(edges: Int) -> Int { edges == 0 ? 0 : edges * 4 / 3 + 1 }

  /// The most slots that a hash may have.
  static func hashSlotsMax(ranks: Int) -> Int {
    min(4 * hashSlots(edges: 2 * ranks), Int(UInt32.max))
  }

  /// Sequences in order, each followed by a separator.
  let text: SealedImage.Run
  let textToken: SealedImage.Field
  /// How many of the tokens that begin here occur elsewhere too: a longer pattern that begins here
  /// occurs once. So whoever follows a long match need not look further than the text.
  let repeated: SealedImage.Field

  /// Positions in the text, in the order of the suffixes that begin there. Separators have none.
  let suffixes: SealedImage.Run
  let suffixPosition: SealedImage.Field

  /// The intervals of the suffix array, each of all suffixes that begin with one branching pattern:
  /// the root, then level by level, the children of a node together and in the order of
  /// `ChildCursor.precedes`; and one more, whose `firstChild` ends the last node's children.
  let nodes: SealedImage.Run
  /// First rank of the interval.
  let firstRank: SealedImage.Field
  /// Ranks in the interval, which are the occurrences of the pattern; or where in `largeCounts`
  /// they stand.
  let count: SealedImage.Field
  /// 1 where the count does not fit.
  let isLarge: SealedImage.Field
  /// Node of the pattern without its first token.
  let link: SealedImage.Field
  /// First of the children that are nodes; they end where the next node's begin.
  let firstChild: SealedImage.Field
  /// First token of the edge that leads to the node.
  let token: SealedImage.Field
  /// Tokens in the pattern.
  let depth: SealedImage.Field
  /// 1 where children, leaves among them, are found through the hash.
  let isHashed: SealedImage.Field

  let largeCounts: SealedImage.Run
  let largeCount: SealedImage.Field

  /// Children of nodes with many, by (node, token).
  let hash: SealedImage.Run
  /// 0 for an empty slot; one more than a node or a rank.
  let entry: SealedImage.Field
  /// 1 where the entry is a rank.
  let isLeaf: SealedImage.Field
  let fingerprint: SealedImage.Field

  let byteCount: Int

  /// The run of text tokens alone, which comes first.
  static func textRun(tokens: Int, tokenBits: Int) -> SealedImage.Run {
    SealedImage.Run(offset: headerBytes, count: tokens, bits: tokenBits + depthBits)
  }

  /// - Precondition: The header is plausible.
  init(_ header: Header) {
    precondition(header.isPlausible, "a layout is made of sizes that were checked")
    let ranks = Int(header.textTokens) - Int(header.sequences)
    // One more than any rank, and the root's count.
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
      // Words begin whole, so that small indexes have one line less to load.
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
    nodes = run(Int(header.nodes) + 1)

    largeCount = field(rankBits)
    largeCounts = run(Int(header.largeCounts))

    entry = field(max(nodeBits, rankBits))
    isLeaf = field(1)
    fingerprint = field(Self.fingerprintBits)
    hash = run(Int(header.hashSlots))

    // Whole pages, so that a store never puts an image among small values, which it aligns less;
    // and room for the word that the last field is read with.
    byteCount = (end + SealedImage.overlapBytes + Self.pageBytes - 1) & ~(Self.pageBytes - 1)
    assert(nodes.bits <= 8 * (SealedImage.overlapBytes - 8), "a record outgrows the overlap")
  }

  /// Bits that the numbers up to `value` need: at least 1.
  static func bits(_ value: UInt32) -> Int { max(1, 32 - value.leadingZeroBitCount) }

  /// Where the search for a child begins, and the bits that its slots are known by.
  @inline(__always)
  func slot(node: UInt32, token: Int32) -> (slot: Int, fingerprint: UInt32) {
    let key = UInt64(node) << 32 | UInt64(UInt32(bitPattern: token))
    var mixed = key &* 0x9E37_79B9_7F4A_7C15
    mixed ^= mixed >> 29
    // The upper half of mixed × slots is a slot without a division and without a power of two.
    let slot = Int(mixed.multipliedFullWidth(by: UInt64(hash.count)).high)
    return (slot, UInt32(truncatingIfNeeded: mixed) & fingerprint.max)
  }
}
