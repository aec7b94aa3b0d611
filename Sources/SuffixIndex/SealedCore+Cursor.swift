extension SealedCore {
  var start: MatchCursor {
    MatchCursor(
      node: Self.root, edge: MatchCursor.noEdge, length: 0,
      count: UInt32(truncatingIfNeeded: layout.suffixes.count))
  }

  /// The cursor `length` tokens down, on the edge that leads to a child of `parent` or at its end.
  @inline(__always)
  private func cursor(on edge: Edge, from parent: UInt32, length: UInt32) -> MatchCursor {
    switch edge {
    case .leaf(let position):
      return MatchCursor(
        node: parent, edge: MatchCursor.leafEdge, length: length, count: 1, position: position,
        edgeEnd: .max)
    case .inner(let child):
      let record = node(child)
      let depth = record.depth
      if depth == length {
        return MatchCursor(
          node: child, edge: MatchCursor.noEdge, length: length, count: record.count)
      }
      return MatchCursor(
        node: parent, edge: child, length: length, count: record.count,
        position: suffix(record.firstRank), edgeEnd: depth)
    }
  }

  /// One token further down the edge that a cursor stands on. Nothing has to be looked up: all of
  /// its occurrences go on alike.
  @inline(__always)
  private func further(_ cursor: MatchCursor) -> MatchCursor {
    var next = cursor
    next.length += 1
    if next.length == cursor.edgeEnd {
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
      return
    }
    var parent = node(cursor.node).link
    var record = node(parent)
    if cursor.edge == MatchCursor.noEdge {
      // The suffix of a branching pattern branches, so the link leads all the way.
      cursor = MatchCursor(
        node: parent, edge: MatchCursor.noEdge, length: length, count: record.count)
      return
    }
    // The pattern's own tokens, without the first, lead down from the link.
    let position = cursor.position + 1
    while record.depth < length {
      let token = text(at: Int(position) + Int(record.depth))
      guard let edge = edge(from: parent, record, token: token) else {
        preconditionFailure("damaged sealed index: a suffix of a pattern is missing")
      }
      switch edge {
      case .leaf:
        cursor = MatchCursor(
          node: parent, edge: MatchCursor.leafEdge, length: length, count: 1, position: position,
          edgeEnd: .max)
        return
      case .inner(let child):
        let below = node(child)
        if below.depth > length {
          cursor = MatchCursor(
            node: parent, edge: child, length: length, count: below.count,
            position: position, edgeEnd: below.depth)
          return
        }
        parent = child
        record = below
      }
    }
    cursor = MatchCursor(
      node: parent, edge: MatchCursor.noEdge, length: length, count: record.count)
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
      shorten(&cursor)
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
    if cursor.edge != MatchCursor.noEdge {
      if cursor.count >= countMin, limit > 0, let only = firstChild(of: cursor) {
        children.append(only)
      }
      return
    }
    var left = limit
    let record = node(cursor.node)
    for inner in innerChildren(cursor.node, record) {
      if left == 0 || node(inner).count < countMin { return }
      children.append(innerChild(inner, of: cursor))
      left -= 1
    }
    if countMin > 1 { return }
    var leaves = leaves(of: cursor.node, record)
    while left > 0, let leaf = next(&leaves) {
      children.append(leafChild(leaf.token, leaf.position, of: cursor))
      left -= 1
    }
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
