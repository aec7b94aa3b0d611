import RepriseModel

/// A mutable index over sequences that still grow: a suffix automaton bounded in depth, with exact
/// counts and each state's best children kept up to date token by token.
///
/// ## The structure
///
/// A *state* stands for a class of patterns that occur at exactly the same places; the longest of
/// them has `length` tokens, the others are its suffixes, down to one token more than the longest
/// pattern of the suffix *link*. A pattern is therefore found at (state, length), and dropping
/// tokens from its left walks along links:
///
///     history: a b c x   b c y          state ⟨a b c⟩ = {abc}      count 1
///                                          │ link
///     every occurrence of "c" comes     state ⟨b c⟩   = {bc, c}    count 2
///     after "b": one class, one state      │ link
///                                       state ⟨⟩      = {empty}
///
/// An *edge* leads by one token to the state of the extended pattern. Adding a token to a sequence
/// adds at most two states (Blumer et al., "The smallest automaton recognizing the subwords of a
/// text", 1985), adds one to the count of each state on the new position's link chain, and moves
/// the token up in the ranking of children of each state on the old position's chain.
///
/// Two things differ from the textbook. No pattern is longer than `depth`: a sequence whose tail
/// has reached it drops one token before it is extended, so that every walk along links is at most
/// `depth` steps, and text that repeats one token a million times costs at most `depth` times as
/// much as prose. And several sequences grow at once, each from its own `Tail`: where another
/// sequence wrote a pattern first, its state is entered or split instead of created.
///
/// ## Cost
///
/// 24 bytes a state, 16 an edge, 4 a hash slot; 1.1 to 1.4 states and 1.5 to 2.2 edges a token on
/// real output. Adding a token walks two link chains, of 3 to 20 states each on real output.
///
/// ## Concurrency
///
/// No locking. The owner serialises changes against reads.
@safe
public final class GrowingIndex {
  /// The open end of one sequence: its longest pattern, of up to `depth` tokens.
  public struct Tail: Equatable, Sendable {
    var state: UInt32 = 0
    var length: UInt32 = 0

    public init() {}

    init(state: UInt32, length: UInt32) {
      self.state = state
      self.length = length
    }
  }

  /// An unowned reference to the index, so that the hot path does no reference counting. See
  /// `AnyHistoryIndex`.
  // SAFETY: the core lives as long as the index, which the holder of a reader keeps alive.
  // Unchecked: it is a mere address. A thread that reads through it holds the lock of the index's owner.
  @safe
  public struct Reader: @unchecked Sendable {
    let core: UnsafeMutablePointer<GrowingCore>
  }

  // SAFETY: allocated in `init`, freed in `deinit`, never replaced.
  private let core: UnsafeMutablePointer<GrowingCore>

  /// Creates an empty index.
  ///
  /// - Parameters:
  ///   - depth: Longest pattern whose count is kept; in `Depth.range`.
  ///   - tokensExpected: The number of tokens to reserve room for; adding them then copies
  ///     nothing. More may be added.
  public init(depth: Int, tokensExpected: Int = 0) {
    precondition(
      Depth.range.contains(depth), "depth is \(depth), must be in \(Depth.range)")
    unsafe core = .allocate(capacity: 1)
    unsafe core.initialize(to: GrowingCore(depth: depth, tokensExpected: tokensExpected))
  }

  deinit {
    unsafe core.deinitialize(count: 1)
    unsafe core.deallocate()
  }

  /// A reader of this index, valid as long as the index lives.
  public var reader: Reader { unsafe Reader(core: core) }

  /// Longest pattern whose count is kept, in tokens.
  public var depth: Int { unsafe core.pointee.depth }

  /// The number of tokens in the index: added and not removed.
  public var tokenCount: Int { unsafe core.pointee.tokenCount }

  /// Memory that holds states, edges and hash slots now, in bytes. Room that is reserved but was
  /// never touched is not counted, because it takes no memory.
  public var bytes: Int { unsafe core.pointee.bytesUsed }

  /// Memory that is reserved for states, edges and hash slots, in bytes, touched or not.
  public var bytesKept: Int { unsafe core.pointee.bytesKept }

  /// The number of removals so far; a sequence removed in pieces counts once for each piece. While
  /// this number stays the same, counts only grow.
  public var removals: Int { unsafe core.pointee.removals }

  /// Adds one token to the sequence that ends at `tail`.
  ///
  /// - Precondition: `token >= 0`.
  /// - Complexity: O(depth) at worst; on real output 0.15 to 0.4 µs.
  public func extend(_ tail: inout Tail, by token: Int32) {
    precondition(token >= 0, "token ids are not negative")
    unsafe core.pointee.extend(&tail, by: token)
  }

  /// Adds tokens to the sequence that ends at `tail`.
  public func extend(_ tail: inout Tail, by tokens: Span<Int32>) {
    for position in tokens.indices { extend(&tail, by: tokens[position]) }
  }

  /// Subtracts a whole sequence, from its first token to its tail, from every count.
  ///
  /// States stay, with a count that may be zero; such patterns are treated as absent.
  ///
  /// - Precondition: exactly these tokens were added as one sequence.
  public func remove(_ tokens: Span<Int32>) {
    removeLast(tokens.count, of: tokens)
  }

  /// Subtracts the last tokens of a sequence from every count, as if they had not been added yet.
  ///
  /// With it, a long sequence is removed in pieces, from its end to its beginning, and other
  /// readers and writers may use the index between them: in the meantime the index holds a shorter
  /// sequence, so its counts are those of a history at every moment. (Removing from the beginning
  /// would break this: a pattern would be gone and its continuation still there.)
  ///
  ///     var left = tokens.count
  ///     while left > 0 {
  ///       let piece = min(left, 256)
  ///       lock.withLock { index.removeLast(piece, of: tokens.span.extracting(first: left)) }
  ///       left -= piece
  ///     }
  ///
  /// The tail of the sequence must not be used afterwards.
  ///
  /// - Parameters:
  ///   - count: The number of tokens to remove; at most all.
  ///   - tokens: The sequence from its first token to the last that stands in the index.
  /// - Precondition: exactly these tokens were added as one sequence and not removed.
  /// - Complexity: that of adding the same number of tokens, and `depth` edge look-ups.
  public func removeLast(_ count: Int, of tokens: Span<Int32>) {
    precondition(count >= 0 && count <= tokens.count, "no more can be removed than is there")
    unsafe core.pointee.removeLast(count, of: tokens)
  }

  /// The match of a context that ends where the sequence of `tail` ends.
  public func match(at tail: Tail) -> MatchCursor {
    unsafe core.pointee.match(at: tail)
  }

  /// Checks every structural invariant, and each ranking against a full sort.
  ///
  /// - Complexity: O(states + edges · log). For tests.
  public func checkInvariants() {
    unsafe core.pointee.checkInvariants()
  }
}

extension GrowingIndex.Reader: HistoryIndex {
  public var depth: Int { unsafe core.pointee.depth }

  public var start: MatchCursor {
    MatchCursor(node: 0, edge: MatchCursor.noEdge, length: 0, count: 0)
  }

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

  /// Updates a cursor that was positioned earlier to the result of a new search, after sequences
  /// have grown.
  ///
  /// A longer match x·P can have appeared only where P itself occurred again. While the count of P
  /// stays the same (and nothing was removed, which the caller must know), the cursor is still the
  /// longest match; finding that out costs one load.
  ///
  /// - Parameter context: The tokens so far; the cursor matches a suffix of them.
  public func refresh(_ cursor: inout MatchCursor, context: Span<Int32>) {
    if unsafe core.pointee.refresh(&cursor, context: context) { cursor = match(context) }
  }
}
