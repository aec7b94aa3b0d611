/// An immutable index over finished sequences: a suffix array with the tree of its intervals.
///
/// ## The structure
///
/// The text is all sequences, each followed by a separator. The suffix array lists the positions
/// of the text in the order of the suffixes that begin there, compared up to `depth` tokens and
/// never past a separator. All occurrences of a pattern are then one interval of ranks. The
/// intervals of *branching* patterns (those that are followed by different tokens, or end some
/// sequence) form a tree, and only those intervals are stored:
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
/// first token along the node's suffix link and comes down again by whole edges. A pattern that
/// occurs once needs none of that: each place in the text records how many tokens from there on
/// occur elsewhere too, so as long as the pattern is longer, dropping its first token is a step in
/// the text.
///
/// Source: Abouelhoda, Kurtz, Ohlebusch, "Replacing suffix trees with enhanced suffix arrays",
/// 2004. This index differs from the paper in four things: the depth is bounded, children are in
/// order of count, links are stored for branching patterns only, and the text records what is
/// unique.
///
/// ## Storage
///
/// All arrays are runs of packed records in one `SealedImage` (see `SealedLayout`); the bytes on disk
/// are the index, and nothing is decoded at open.
///
/// ## Damage
///
/// Bytes that lie on disk for years may be damaged. An index whose header fits its size answers
/// whatever its other bytes are, in bounded time and without reading elsewhere; where it meets
/// bytes that no builder writes, it sets its `DamageMark`. Its answers are then meaningless. Wrong
/// numbers that are possible ones set no mark: only `checkStructure` compares all of them.
@safe
public final class SealedIndex {
  /// The reason why bytes cannot be opened as a sealed index.
  public enum FormatError: Error, Equatable, CustomStringConvertible {
    /// The bytes do not begin as a sealed index does. They are damaged, or belong to something
    /// else.
    case notASealedIndex
    /// Written by another version of Reprise.
    case version(found: Int, expected: Int)
    /// The header's sizes do not fit the bytes that are there. They are damaged or cut short.
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

  /// A reference without ownership; see `AnyHistoryIndex`.
  // SAFETY: the core lives as long as the index, which the holder of a reader keeps alive.
  // Unchecked: the core never changes.
  @safe
  public struct Reader: @unchecked Sendable {
    let core: UnsafePointer<SealedCore>
  }

  // SAFETY: allocated in `init`, freed in `deinit`, never changed between.
  private let core: UnsafeMutablePointer<SealedCore>

  /// A reader of this index, valid as long as the index lives.
  public var reader: Reader { unsafe Reader(core: UnsafePointer(core)) }

  /// Longest pattern whose count is kept, in tokens.
  public var depth: Int { unsafe core.pointee.depth }
  /// Tokens in all sequences, without separators.
  public var tokenCount: Int { unsafe core.pointee.layout.suffixes.count }
  public let sequenceCount: Int
  /// Bytes of the image.
  public var byteCount: Int { unsafe core.pointee.layout.byteCount }
  /// Tokens in the text, the ends of sequences included.
  public var textTokens: Int { unsafe core.pointee.layout.text.count }
  /// The number of patterns that branch.
  public var nodeCount: Int { unsafe core.pointee.layout.nodes.count - 1 }
  /// Bits of a token in the text.
  public var tokenBits: Int { unsafe core.pointee.layout.textToken.bits }

  /// Set when the index meets bytes that no builder writes.
  public let mark: DamageMark

  /// Opens an index where it lies, without copying it. Reads the header alone.
  ///
  /// - Parameters:
  ///   - image: Must stay unchanged while the index is used.
  ///   - mark: Set when damage is met; may be shared with other indexes.
  /// - Throws: Any `FormatError`; damage behind the header is found only when it is met.
  public init(_ image: SealedImage, mark: DamageMark = DamageMark()) throws(FormatError) {
    guard image.byteCount >= SealedLayout.headerBytes,
      let header = image.loadHeader(SealedLayout.Header.self), header.magic == SealedLayout.magic
    else { throw .notASealedIndex }
    guard header.version == SealedLayout.version else {
      throw .version(found: Int(header.version), expected: Int(SealedLayout.version))
    }
    guard header.isPlausible else { throw .notASealedIndex }
    let layout = SealedLayout(header)
    guard layout.byteCount == image.byteCount else {
      throw .size(bytes: image.byteCount, expectedBytes: layout.byteCount)
    }
    unsafe core = .allocate(capacity: 1)
    unsafe core.initialize(
      to: SealedCore(
        image: image, layout: layout, depth: Int(header.depth),
        mark: DamageMark.Reference(mark)))
    sequenceCount = Int(header.sequences)
    self.mark = mark
  }

  deinit {
    unsafe core.deinitialize(count: 1)
    unsafe core.deallocate()
  }

  /// Calls `body` with each sequence's tokens in the order in which they were given to the builder.
  /// Merging reads history back with it.
  ///
  /// - Complexity: O(tokens). Allocates one buffer.
  public func forEachSequence(_ body: (_ index: Int, _ tokens: Span<Int32>) throws -> Void) rethrows
  {
    let text = unsafe SealedText(core.pointee)
    try text.forEachSequence { index, tokens in
      try body(index, tokens)
      return true
    }
  }

  /// Runs `body` with the core, for extensions in other files.
  func withCore<Result, Failure: Error>(
    _ body: (borrowing SealedCore) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    try unsafe body(core.pointee)
  }
}

extension SealedIndex.Reader: HistoryIndex {
  public var depth: Int { unsafe core.pointee.depth }

  public var start: MatchCursor { unsafe core.pointee.start }

  public func advance(_ cursor: inout MatchCursor, by token: Int32) {
    unsafe core.pointee.advance(&cursor, by: token)
  }

  public func shorten(_ cursor: inout MatchCursor) {
    unsafe core.pointee.shorten(&cursor)
  }

  public func suffix(of cursor: MatchCursor, length: UInt32) -> MatchCursor {
    unsafe core.pointee.suffix(of: cursor, length: length)
  }

  public func widened(_ cursor: MatchCursor, lengthMin: UInt32) -> MatchCursor? {
    unsafe core.pointee.widened(cursor, lengthMin: lengthMin)
  }

  public func child(of cursor: MatchCursor, token: Int32) -> MatchCursor? {
    unsafe core.pointee.child(of: cursor, token: token)
  }

  public func appendChildren(
    of cursor: MatchCursor, countMin: Int, limit: Int, to children: inout [ChildCursor]
  ) {
    unsafe core.pointee.appendChildren(
      of: cursor, countMin: countMin, limit: limit, to: &children)
  }

  public func firstChild(of cursor: MatchCursor) -> ChildCursor? {
    unsafe core.pointee.firstChild(of: cursor)
  }

  public func appendCounts(
    of cursor: MatchCursor, countMin: Int, limit: Int, to children: inout [ChildCount]
  ) {
    unsafe core.pointee.appendCounts(of: cursor, countMin: countMin, limit: limit, to: &children)
  }

  public func childCount(of cursor: MatchCursor, token: Int32) -> Int {
    unsafe core.pointee.childCount(of: cursor, token: token)
  }

  public func followers(of cursor: MatchCursor) -> Followers {
    unsafe core.pointee.followers(of: cursor)
  }
}
