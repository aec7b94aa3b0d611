import SuffixIndex
import TestSupport
import Testing

/// A sentence on the first difference between an index and the oracle, or `nil` if they agree on
/// everything: the count and children of every pattern, their order, absent patterns, and the match
/// along `context`.
///
/// It returns a sentence instead of recording issues one by one, because a case is compared in
/// thousands of places and a broken index differs in most.
func firstDifference(
  _ index: some HistoryIndex, _ oracle: NGramOracle, context: [Int32], alphabet: Int32
) -> String? {
  for (pattern, count) in oracle.counts {
    var cursor = index.start
    for token in pattern {
      guard let child = index.child(of: cursor, token: token) else {
        return "pattern \(pattern) is not found, expected count \(count)"
      }
      cursor = child
    }
    if Int(cursor.count) != count || Int(cursor.length) != pattern.count {
      return "pattern \(pattern): \(cursor), expected count \(count)"
    }
    if pattern.count < index.depth,
      let difference = childDifference(index, cursor, oracle.children(of: pattern), alphabet)
    {
      return "children of \(pattern): \(difference)"
    }
  }
  return matchDifference(index, oracle, context)
}

private func childDifference(
  _ index: some HistoryIndex, _ cursor: MatchCursor, _ expected: [(token: Int32, count: Int)],
  _ alphabet: Int32
) -> String? {
  for (countMin, limit) in [(1, 100), (1, 1), (2, 3), (2, 100), (1, 0)] {
    var children: [ChildCursor] = []
    index.appendChildren(of: cursor, countMin: countMin, limit: limit, to: &children)
    let wanted = expected.filter { $0.count >= countMin }.prefix(limit)
    var counts: [ChildCount] = []
    index.appendCounts(of: cursor, countMin: countMin, limit: limit, to: &counts)
    if counts != wanted.map({ ChildCount(token: $0.token, count: $0.count) }) {
      return "counts of at least \(countMin), at most \(limit): \(counts), expected \(wanted)"
    }
    if children.map(\.token) != wanted.map(\.token)
      || children.map({ Int($0.count) }) != wanted.map(\.count)
    {
      return "at least \(countMin), at most \(limit): \(children), expected \(wanted)"
    }
    for child in children where index.child(of: cursor, token: child.token) != child.cursor {
      return "child \(child) is another when looked up by its token"
    }
    for child in children
    where index.childCount(of: cursor, token: child.token) != Int(child.count) {
      return "child \(child) has another count when looked up by its token"
    }
  }
  let followers = Followers(
    count: expected.reduce(0) { $0 + $1.count }, kinds: min(expected.count, 8))
  if index.followers(of: cursor) != followers {
    return "followed by \(index.followers(of: cursor)), expected \(followers)"
  }
  if index.firstChild(of: cursor)?.token != expected.first?.token {
    return "first child \(String(describing: index.firstChild(of: cursor))), expected \(expected)"
  }
  for token in 0..<alphabet + 1 where !expected.contains(where: { $0.token == token }) {
    if index.child(of: cursor, token: token) != nil
      || index.childCount(of: cursor, token: token) != 0
    {
      return "\(token) never followed"
    }
  }
  return nil
}

/// Advances along the context; at each token also shortens to the empty pattern.
private func matchDifference(
  _ index: some HistoryIndex, _ oracle: NGramOracle, _ context: [Int32]
) -> String? {
  var cursor = index.start
  for end in 1...max(1, context.count) where end <= context.count {
    let prefix = Array(context.prefix(end))
    index.advance(&cursor, by: prefix[end - 1])
    if index.match(prefix.span) != cursor {
      return "a search anew after \(prefix) gives \(index.match(prefix.span)), not \(cursor)"
    }
    if Int(cursor.length) != oracle.matchLength(prefix) {
      return "match of \(prefix): \(cursor), expected length \(oracle.matchLength(prefix))"
    }
    var shorter = cursor
    while !shorter.isEmpty {
      let pattern = Array(prefix.suffix(Int(shorter.length)))
      if Int(shorter.count) != oracle.count(pattern) {
        return "shortened to \(pattern): \(shorter), expected count \(oracle.count(pattern))"
      }
      if index.firstChild(of: shorter)?.token != oracle.children(of: pattern).first?.token {
        return "first child of \(pattern) after shortening"
      }
      let length = shorter.length
      index.shorten(&shorter)
      if shorter.length != length - 1 { return "shortening \(pattern) gave \(shorter)" }
    }
  }
  return nil
}
