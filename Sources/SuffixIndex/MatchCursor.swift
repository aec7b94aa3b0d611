/// The place of a pattern in one index: the longest suffix of a context that the index holds, or
/// that suffix extended by drafted tokens.
///
/// A cursor is plain data (24 bytes) and is valid only together with the index that created it.
/// Both kinds of index use the same type, so that code over several indexes can keep cursors side
/// by side in one buffer:
///
/// | field    | growing index                    | sealed index                                   |
/// |----------|----------------------------------|------------------------------------------------|
/// | node     | state of the suffix automaton    | deepest interval that is no deeper than length |
/// | edge     | unused                           | the child below `node` that the pattern runs   |
/// |          |                                  | into, `leafEdge`, or `noEdge` where it ends    |
/// | length   | tokens in the pattern            | tokens in the pattern                          |
/// | count    | occurrences when last positioned | occurrences                                    |
/// | position | unused                           | on an edge: a place where the pattern stands   |
/// | edgeEnd  | unused                           | on an edge: depth of the child; on a leaf's    |
/// |          |                                  | edge: tokens dropped since `node` was right    |
public struct MatchCursor: Equatable, Sendable, BitwiseCopyable {
  var node: UInt32
  var edge: UInt32

  /// Tokens in the pattern.
  public internal(set) var length: UInt32

  /// Occurrences of the pattern in the index when the cursor was positioned. For the empty pattern
  /// the value is not used.
  public internal(set) var count: UInt32

  var position: UInt32 = 0
  var edgeEnd: UInt32 = 0

  static let noEdge = UInt32.max
  static let leafEdge = UInt32.max - 1

  @inlinable public var isEmpty: Bool { length == 0 }

  /// True if both stand for one pattern of one index. The position may be any of the pattern's
  /// occurrences; it is compared only where there is one.
  public static func == (one: MatchCursor, other: MatchCursor) -> Bool {
    one.edge == other.edge && one.length == other.length && one.count == other.count
      && (one.edge == leafEdge ? one.position == other.position : one.node == other.node)
  }
}

/// A token that follows a pattern, and the pattern extended by it.
public struct ChildCursor: CountedChild, Equatable, Sendable {
  public var token: Int32

  /// The extended pattern; `cursor.count` is how often `token` followed.
  public var cursor: MatchCursor

  @inlinable public var count: UInt32 { cursor.count }
  @inlinable public var occurrences: Int { Int(count) }

  /// The order of children, in every index and over all indexes together: falling count, then
  /// rising token id.
  ///
  /// Token id is the only tie-break that does not depend on how history is divided or when it was
  /// written. It is also a sensible one: byte-pair vocabularies number their merges by falling
  /// frequency, so the smaller id is the likelier token.
  @inlinable
  public static func precedes(
    count: Int, token: Int32, _ otherCount: Int, _ otherToken: Int32
  ) -> Bool {
    count != otherCount ? count > otherCount : token < otherToken
  }
}
