extension SealedCore {
  var start: MatchCursor {
    MatchCursor(
      node: Self.root, edge: MatchCursor.noEdge, length: 0,
      count: UInt32(truncatingIfNeeded: layout.suffixes.count))
  }

  /// The cursor `length` tokens down, inside the edge that leads to a child of `parent` or at its
  /// end.
  @inline(__always)
  private func cursor(on edge: Edge, from parent: UInt32, length: UInt32) -> MatchCursor {
    switch edge {
    case .leaf(let position):
      return MatchCursor(
        node: parent, edge: MatchCursor.leafEdge, length: length, count: 1, position: position)
    case .inner(let child):
      let record = node(child)
      let depth = record.depth
      if depth <= length { return self.cursor(at: child, record, length: length) }
      return MatchCursor(
        node: parent, edge: child, length: length, count: occurrences(record),
        position: suffix(record.firstRank), edgeEnd: depth)
    }
  }

  /// The cursor at a node, whose pattern has `length` tokens.
  @inline(__always)
  private func cursor(at node: UInt32, _ record: Node, length: UInt32) -> MatchCursor {
    if record.depth != length { mark.set() }
    return MatchCursor(
      node: node, edge: MatchCursor.noEdge, length: length, count: occurrences(record))
  }

  /// The number of occurrences of the node's pattern. Never zero, so it is safe to use as a
  /// divisor.
  @inline(__always)
  private func occurrences(_ record: Node) -> UInt32 {
    if record.count < 2 {
      mark.set()
      return 1
    }
    return record.count
  }

  /// The cursor one token further down its edge. No look-up is needed: all of its occurrences
  /// continue with the same token.
  @inline(__always)
  private func further(_ cursor: MatchCursor) -> MatchCursor {
    var next = cursor
    next.length += 1
    if cursor.edge != MatchCursor.leafEdge && next.length == cursor.edgeEnd {
      next.node = cursor.edge
      next.edge = MatchCursor.noEdge
    }
    return next
  }

  /// The token that follows a pattern which ends inside an edge, or the separator.
  @inline(__always)
  private func tokenOnEdge(_ cursor: MatchCursor) -> Int32 {
    text(at: Int(cursor.position) + Int(cursor.length))
  }

  func child(of cursor: MatchCursor, token: Int32) -> MatchCursor? {
    assert(cursor.length < depth, "no continuation of a pattern of full depth is counted")
    if cursor.edge != MatchCursor.noEdge {
      return tokenOnEdge(cursor) == token ? further(cursor) : nil
    }
    guard let edge = edge(from: cursor.node, node(cursor.node), token: token) else { return nil }
    return self.cursor(on: edge, from: cursor.node, length: cursor.length + 1)
  }

  func shorten(_ cursor: inout MatchCursor) {
    assert(cursor.length > 0, "the empty pattern cannot be shortened")
    let length = cursor.length - 1
    if length == 0 {
      cursor = start
    } else if cursor.edge == MatchCursor.noEdge {
      // The suffix of a branching pattern branches, so the link reaches its node.
      let link = node(cursor.node).link
      cursor = self.cursor(at: link, node(link), length: length)
    } else if cursor.edge == MatchCursor.leafEdge {
      let position = cursor.position &+ 1
      if length > repeated(at: position) {
        cursor = leaf(cursor, to: length)
      } else {
        cursor = located(cursor, to: length)
      }
    } else {
      // The pattern's own tokens, without the first, lead down from the link's target.
      cursor = descended(
        from: node(cursor.node).link, position: cursor.position &+ 1, length: length)
    }
  }

  /// The last `length` tokens of a pattern that occurs once, when they occur once as well.
  private func leaf(_ cursor: MatchCursor, to length: UInt32) -> MatchCursor {
    var shorter = cursor
    shorter.position &+= cursor.length - length
    // The node stays the same; `edgeEnd` records how many tokens it is behind.
    shorter.edgeEnd &+= cursor.length - length
    shorter.length = length
    return shorter
  }

  /// The last `length` tokens of a pattern that occurs once, when they occur more often.
  private func located(_ cursor: MatchCursor, to length: UInt32) -> MatchCursor {
    let shorter = leaf(cursor, to: length)
    var parent = cursor.node
    if shorter.edgeEnd <= Self.linksMax {
      for _ in 0..<shorter.edgeEnd { parent = node(parent).link }
    } else {
      parent = Self.root
    }
    return descended(from: parent, position: shorter.position, length: length)
  }

  /// The most links that are followed; beyond that, starting from the root is faster.
  private static let linksMax: UInt32 = 6

  /// The pattern of `length` tokens at a position. It is known to occur more than once, and the
  /// pattern of `start` is a prefix of it.
  private func descended(from start: UInt32, position: UInt32, length: UInt32) -> MatchCursor {
    var parent = start
    var record = node(parent)
    while record.depth < length {
      let token = text(at: Int(position) + Int(record.depth))
      guard let child = innerChild(of: parent, record, token: token) else {
        return lost(position: position, length: length)
      }
      let below = node(child)
      if below.depth > length {
        return MatchCursor(
          node: parent, edge: child, length: length, count: occurrences(below),
          position: position, edgeEnd: below.depth)
      }
      if below.depth <= record.depth { return lost(position: position, length: length) }
      parent = child
      record = below
    }
    return cursor(at: parent, record, length: length)
  }

  /// The replacement for a pattern that must be in the tree and is not: what the text says from
  /// there.
  @inline(never)
  private func lost(position: UInt32, length: UInt32) -> MatchCursor {
    mark.set()
    return MatchCursor(
      node: Self.root, edge: MatchCursor.leafEdge, length: length, count: 1, position: position,
      edgeEnd: Self.linksMax + 1)
  }

  func suffix(of cursor: MatchCursor, length: UInt32) -> MatchCursor {
    if cursor.edge == MatchCursor.leafEdge { return leaf(cursor, to: length) }
    var shorter = cursor
    while shorter.length > length { shorten(&shorter) }
    return shorter
  }

  func widened(_ cursor: MatchCursor, lengthMin: UInt32) -> MatchCursor? {
    if cursor.edge == MatchCursor.leafEdge {
      var (position, length) = (cursor.position &+ 1, cursor.length - 1)
      while length >= lengthMin {
        if length <= repeated(at: position) { return located(cursor, to: length) }
        position &+= 1
        length -= 1
      }
      return nil
    }
    var shorter = cursor
    while shorter.length > lengthMin {
      shorten(&shorter)
      if shorter.count != cursor.count { return shorter }
    }
    return nil
  }

  func advance(_ cursor: inout MatchCursor, by token: Int32) {
    // See GrowingCore.advance: a match that is to be extended holds at most depth − 2 tokens.
    if cursor.length >= depth - 1 { shorten(&cursor) }
    while true {
      if let child = child(of: cursor, token: token) {
        cursor = child
        return
      }
      if cursor.isEmpty { return }
      if cursor.edge == MatchCursor.leafEdge {
        // A pattern with the same occurrences has the same continuations.
        cursor = widened(cursor, lengthMin: 1) ?? start
      } else {
        shorten(&cursor)
      }
    }
  }

  func firstChild(of cursor: MatchCursor) -> ChildCursor? {
    if cursor.edge != MatchCursor.noEdge {
      let token = tokenOnEdge(cursor)
      if token == SealedLayout.separator { return nil }
      return ChildCursor(token: token, cursor: further(cursor))
    }
    let record = node(cursor.node)
    let inner = innerChildren(cursor.node, record)
    if !inner.isEmpty { return innerChild(inner.lowerBound, of: cursor) }
    var leaves = leaves(of: cursor.node, record)
    return next(&leaves).map { leafChild($0.token, $0.position, of: cursor) }
  }

  func appendChildren(
    of cursor: MatchCursor, countMin: Int, limit: Int, to children: inout [ChildCursor]
  ) {
    append(of: cursor, countMin: countMin, limit: limit, to: &children) { child in
      switch child {
      case .onEdge(let only): only
      case .inner(let node): innerChild(node, of: cursor)
      case .leaf(let token, let position): leafChild(token, position, of: cursor)
      }
    }
  }

  func childCount(of cursor: MatchCursor, token: Int32) -> Int {
    if cursor.edge != MatchCursor.noEdge {
      return tokenOnEdge(cursor) == token ? Int(cursor.count) : 0
    }
    switch edge(from: cursor.node, node(cursor.node), token: token) {
    case .inner(let child): return Int(node(child).count)
    case .leaf: return 1
    case nil: return 0
    }
  }

  func appendCounts(
    of cursor: MatchCursor, countMin: Int, limit: Int, to children: inout [ChildCount]
  ) {
    append(of: cursor, countMin: countMin, limit: limit, to: &children) { child in
      switch child {
      case .onEdge(let only): return ChildCount(token: only.token, count: Int(only.count))
      case .inner(let number):
        let record = node(number)
        return ChildCount(token: record.token, count: Int(record.count))
      case .leaf(let token, _): return ChildCount(token: token, count: 1)
      }
    }
  }

  /// A child as it is met in the index.
  private enum FoundChild {
    /// The only one, of a pattern that ends inside an edge.
    case onEdge(ChildCursor)
    case inner(UInt32)
    case leaf(token: Int32, position: UInt32)
  }

  /// Appends the children that occur at least `countMin` times, at most `limit`, each as `form`
  /// gives it.
  @inline(__always)
  private func append<Child>(
    of cursor: MatchCursor, countMin: Int, limit: Int, to children: inout [Child],
    _ form: (FoundChild) -> Child
  ) {
    if cursor.edge != MatchCursor.noEdge {
      if cursor.count >= countMin, limit > 0, let only = firstChild(of: cursor) {
        children.append(form(.onEdge(only)))
      }
      return
    }
    var left = limit
    let record = node(cursor.node)
    // All children together occur no more often than their parent, so a damaged list ends as well.
    var occurrencesLeft = Int(record.count)
    for inner in innerChildren(cursor.node, record) {
      let count = Int(node(inner).count)
      if left == 0 || count < countMin { return }
      occurrencesLeft -= max(count, 2)
      if occurrencesLeft < 0 { return mark.set() }
      children.append(form(.inner(inner)))
      left -= 1
    }
    if countMin > 1 { return }
    var leaves = leaves(of: cursor.node, record)
    while left > 0, let leaf = next(&leaves) {
      children.append(form(.leaf(token: leaf.token, position: leaf.position)))
      left -= 1
    }
  }

  func followers(of cursor: MatchCursor) -> Followers {
    if cursor.edge != MatchCursor.noEdge {
      if tokenOnEdge(cursor) == SealedLayout.separator { return Followers() }
      return Followers(count: Int(cursor.count), kinds: 1)
    }
    let record = node(cursor.node)
    var followers = Followers(count: Int(cursor.count))
    // Suffixes that end with the pattern come first.
    if record.hasEnd {
      let ending = firstGoingOn(from: record.firstRank, record) &- record.firstRank
      followers.count -= Int(min(ending, cursor.count))
    }
    if record.isHashed {
      followers.kinds = Followers.kindsMax
      return followers
    }
    // Each occurrence that no inner child has is a leaf.
    let inner = innerChildren(cursor.node, record)
    var leaves = followers.count
    for child in inner { leaves -= Int(node(child).count) }
    if leaves < 0 { mark.set() }
    followers.kinds = min(inner.count + max(leaves, 0), Followers.kindsMax)
    return followers
  }

  private func innerChild(_ child: UInt32, of cursor: MatchCursor) -> ChildCursor {
    ChildCursor(
      token: node(child).token,
      cursor: self.cursor(on: .inner(child), from: cursor.node, length: cursor.length + 1))
  }

  private func leafChild(_ token: Int32, _ position: UInt32, of cursor: MatchCursor) -> ChildCursor
  {
    ChildCursor(
      token: token,
      cursor: self.cursor(
        on: .leaf(position: position), from: cursor.node, length: cursor.length + 1))
  }
}
