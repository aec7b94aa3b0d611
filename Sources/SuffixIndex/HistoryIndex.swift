/// The operations of an index over token sequences that drafting needs. Growing and sealed indexes
/// give the same answers.
///
/// The index holds every pattern of up to `depth` consecutive tokens of one sequence, with its
/// exact number of occurrences. Patterns never run from one sequence into the next. A match holds
/// at most `depth − 1` tokens, because no continuation of a longer one is counted.
///
/// No call allocates except into the caller's buffers.
public protocol HistoryIndex {
  /// Longest pattern whose count is kept, in tokens.
  var depth: Int { get }

  /// The empty pattern.
  var start: MatchCursor { get }

  /// Moves to the longest suffix of the cursor's pattern followed by `token` that the index
  /// holds, of at most `depth − 1` tokens; the empty pattern when `token` never occurs.
  ///
  /// - Complexity: amortized O(1) edge look-ups a token along one context.
  func advance(_ cursor: inout MatchCursor, by token: Int32)

  /// Drops the first token of a pattern that is not empty.
  ///
  /// - Complexity: growing O(1); sealed amortized O(1) edge look-ups along one context.
  func shorten(_ cursor: inout MatchCursor)

  /// The last `length` tokens of a pattern, which are known to occur as often as the pattern.
  func suffix(of cursor: MatchCursor, length: UInt32) -> MatchCursor

  /// The longest suffix of a pattern that occurs more often than the pattern; `nil` when that
  /// suffix has fewer than `lengthMin` tokens (1 or more).
  ///
  /// - Complexity: growing O(1) as a rule; sealed O(1) for a pattern that occurs once (plus a byte
  ///   for each token that is dropped), otherwise that of shortening to the result.
  func widened(_ cursor: MatchCursor, lengthMin: UInt32) -> MatchCursor?

  /// The pattern followed by `token`, or `nil` where that never occurs. The pattern must be
  /// shorter than `depth`.
  func child(of cursor: MatchCursor, token: Int32) -> MatchCursor?

  /// Appends the children of a pattern shorter than `depth` in the order of
  /// `ChildCursor.precedes`: those that occur at least `countMin` times (1 or more), and at most
  /// `limit` of them.
  func appendChildren(
    of cursor: MatchCursor, countMin: Int, limit: Int, to children: inout [ChildCursor])

  /// The first child in the order of `ChildCursor.precedes`, or `nil` when the pattern occurs only
  /// at the ends of sequences.
  func firstChild(of cursor: MatchCursor) -> ChildCursor?

  /// Appends the children of a pattern as `appendChildren` does, without their cursors.
  func appendCounts(
    of cursor: MatchCursor, countMin: Int, limit: Int, to children: inout [ChildCount])

  /// The number of times that a token follows a pattern: the count of that `child`, or 0.
  func childCount(of cursor: MatchCursor, token: Int32) -> Int

  /// The children of a pattern in numbers. The pattern must be shorter than `depth`, and not empty.
  ///
  /// - Complexity: O(1): at most eight edges are read. In a sealed index O(log count) where sequences
  ///   end with the pattern.
  func followers(of cursor: MatchCursor) -> Followers
}

/// A token that follows a pattern, and how often it does.
public struct ChildCount: CountedChild, Equatable, Sendable {
  public var token: Int32
  public var count: Int

  @inlinable
  public init(token: Int32, count: Int) {
    self.token = token
    self.count = count
  }

  @inlinable public var occurrences: Int { count }
}

/// The children of a pattern in numbers.
public struct Followers: Equatable, Sendable, BitwiseCopyable {
  /// The number of occurrences that a token follows: the sum of all children's counts.
  public var count = 0
  /// The number of different tokens that follow, counted up to `kindsMax`.
  public var kinds = 0

  public static let kindsMax = 8

  public init(count: Int = 0, kinds: Int = 0) {
    self.count = count
    self.kinds = kinds
  }
}

extension HistoryIndex {
  /// The longest suffix of `context` that the index holds, found without any earlier cursor.
  ///
  /// Most matches are short, so the search begins with the last few tokens and continues with more
  /// of them only where all of those are found.
  ///
  /// - Complexity: O(match length) edge look-ups, however long the context is.
  public func match(_ context: Span<Int32>) -> MatchCursor {
    let most = min(context.count, depth - 1)
    var window = min(8, most)
    while true {
      var cursor = start
      for position in (context.count - window)..<context.count {
        advance(&cursor, by: context[position])
      }
      if cursor.length < window || window == most { return cursor }
      window = min(window * 3, most)
    }
  }
}

/// A reference to an index of either kind, without ownership: reading through it costs no
/// reference counting, which at two atomic operations an access would cost more than the access.
///
/// The holder of a reference must keep the index alive for as long as it uses the reference.
public enum AnyHistoryIndex: HistoryIndex, Sendable {
  case growing(GrowingIndex.Reader)
  case sealed(SealedIndex.Reader)

  public var depth: Int {
    switch self {
    case .growing(let index): index.depth
    case .sealed(let index): index.depth
    }
  }

  public var start: MatchCursor {
    switch self {
    case .growing(let index): index.start
    case .sealed(let index): index.start
    }
  }

  public func advance(_ cursor: inout MatchCursor, by token: Int32) {
    switch self {
    case .growing(let index): index.advance(&cursor, by: token)
    case .sealed(let index): index.advance(&cursor, by: token)
    }
  }

  public func shorten(_ cursor: inout MatchCursor) {
    switch self {
    case .growing(let index): index.shorten(&cursor)
    case .sealed(let index): index.shorten(&cursor)
    }
  }

  public func suffix(of cursor: MatchCursor, length: UInt32) -> MatchCursor {
    switch self {
    case .growing(let index): index.suffix(of: cursor, length: length)
    case .sealed(let index): index.suffix(of: cursor, length: length)
    }
  }

  public func widened(_ cursor: MatchCursor, lengthMin: UInt32) -> MatchCursor? {
    switch self {
    case .growing(let index): index.widened(cursor, lengthMin: lengthMin)
    case .sealed(let index): index.widened(cursor, lengthMin: lengthMin)
    }
  }

  public func child(of cursor: MatchCursor, token: Int32) -> MatchCursor? {
    switch self {
    case .growing(let index): index.child(of: cursor, token: token)
    case .sealed(let index): index.child(of: cursor, token: token)
    }
  }

  public func appendChildren(
    of cursor: MatchCursor, countMin: Int, limit: Int, to children: inout [ChildCursor]
  ) {
    switch self {
    case .growing(let index):
      index.appendChildren(of: cursor, countMin: countMin, limit: limit, to: &children)
    case .sealed(let index):
      index.appendChildren(of: cursor, countMin: countMin, limit: limit, to: &children)
    }
  }

  public func firstChild(of cursor: MatchCursor) -> ChildCursor? {
    switch self {
    case .growing(let index): index.firstChild(of: cursor)
    case .sealed(let index): index.firstChild(of: cursor)
    }
  }

  public func appendCounts(
    of cursor: MatchCursor, countMin: Int, limit: Int, to children: inout [ChildCount]
  ) {
    switch self {
    case .growing(let index):
      index.appendCounts(of: cursor, countMin: countMin, limit: limit, to: &children)
    case .sealed(let index):
      index.appendCounts(of: cursor, countMin: countMin, limit: limit, to: &children)
    }
  }

  public func childCount(of cursor: MatchCursor, token: Int32) -> Int {
    switch self {
    case .growing(let index): index.childCount(of: cursor, token: token)
    case .sealed(let index): index.childCount(of: cursor, token: token)
    }
  }

  public func followers(of cursor: MatchCursor) -> Followers {
    switch self {
    case .growing(let index): index.followers(of: cursor)
    case .sealed(let index): index.followers(of: cursor)
    }
  }
}
