/// A token that follows a pattern, in one of the forms in which children are listed.
public protocol CountedChild: BitwiseCopyable {
  var token: Int32 { get }
  /// How often the token follows.
  var occurrences: Int { get }
}

extension CountedChild {
  /// True if the child stands before another one; see `ChildCursor.precedes`.
  @inlinable
  public func precedes(_ other: Self) -> Bool {
    ChildCursor.precedes(count: occurrences, token: token, other.occurrences, other.token)
  }
}

extension Array where Element: CountedChild {
  /// Sorts the children from a place on. Few are sorted by insertion, which allocates nothing.
  @inlinable
  public mutating func sortChildren(from first: Int = 0) {
    if count - first > 24 {
      self[first...].sort { $0.precedes($1) }
      return
    }
    for next in indices.dropFirst(first + 1) {
      var place = next
      while place > first && self[place].precedes(self[place - 1]) {
        swapAt(place, place - 1)
        place -= 1
      }
    }
  }
}
