import SuffixIndex

/// The longest suffix of a context that each index holds.
protocol ContextMatches {
  /// The length of the match in an index, or an upper bound as long as it is not known.
  func lengthBound(_ index: Int) -> Int
  func isKnown(_ index: Int) -> Bool
  mutating func lookUp(_ index: Int, in indexes: [AnyHistoryIndex])
  /// The match, which must be known.
  func cursor(_ index: Int) -> MatchCursor
}

/// Matches that were all looked up.
struct KnownMatches: ContextMatches {
  let cursors: [MatchCursor]

  @inline(__always) func lengthBound(_ index: Int) -> Int { Int(cursors[index].length) }
  @inline(__always) func isKnown(_ index: Int) -> Bool { true }
  @inline(__always) func lookUp(_ index: Int, in indexes: [AnyHistoryIndex]) {}
  @inline(__always) func cursor(_ index: Int) -> MatchCursor { cursors[index] }
}

/// The matches of a context, and of the context continued by each drafted token.
///
/// A match is looked up when its length may matter. Until then only a bound is known: one token more
/// makes a match longer by one token at most. Most estimates read one or two long matches, so most short
/// ones are never looked up.
struct DraftedMatches: ContextMatches {
  private struct Match: BitwiseCopyable {
    var cursor: MatchCursor
    var lengthBound: Int32
    var isKnown: Bool
  }

  /// One for each index: those of the context, then those of each drafted token.
  private var matches: [Match] = []
  /// The drafted tokens, and the place of each one's parent or −1.
  private var tokens: [Int32] = []
  private var parents: [Int32] = []
  private var indexCount = 0
  /// The place of the drafted token whose matches are read; −1 for the context.
  private var place = -1

  /// Begins with a context.
  mutating func begin(_ cursors: [MatchCursor]) {
    tokens.removeAll(keepingCapacity: true)
    parents.removeAll(keepingCapacity: true)
    matches.removeAll(keepingCapacity: true)
    indexCount = cursors.count
    place = -1
    for index in cursors.indices {
      let cursor = cursors[index]
      matches.append(Match(cursor: cursor, lengthBound: Int32(cursor.length), isKnown: true))
    }
  }

  /// Continues the context by a drafted token, whose matches are read from now on.
  mutating func add(_ token: Int32, after parent: Int) {
    tokens.append(token)
    parents.append(Int32(parent))
    place = tokens.count - 1
    for index in 0..<indexCount {
      var match = matches[position(index, at: parent)]
      match.lengthBound += 1
      match.isKnown = false
      matches.append(match)
    }
  }

  /// The match in an index of the context that ends with a drafted token.
  @inline(__always) private func position(_ index: Int, at place: Int) -> Int {
    (place + 1) * indexCount + index
  }

  @inline(__always) func lengthBound(_ index: Int) -> Int {
    Int(matches[position(index, at: place)].lengthBound)
  }
  @inline(__always) func isKnown(_ index: Int) -> Bool {
    matches[position(index, at: place)].isKnown
  }
  @inline(__always) func cursor(_ index: Int) -> MatchCursor {
    matches[position(index, at: place)].cursor
  }

  mutating func lookUp(_ index: Int, in indexes: [AnyHistoryIndex]) {
    _ = match(at: place, index, in: indexes)
  }

  private mutating func match(
    at place: Int, _ index: Int, in indexes: [AnyHistoryIndex]
  ) -> MatchCursor {
    let position = position(index, at: place)
    if matches[position].isKnown { return matches[position].cursor }
    var cursor = match(at: Int(parents[place]), index, in: indexes)
    indexes[index].advance(&cursor, by: tokens[place])
    matches[position] = Match(
      cursor: cursor, lengthBound: Int32(cursor.length), isKnown: true)
    return cursor
  }
}
