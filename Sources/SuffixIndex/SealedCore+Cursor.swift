extension SealedCore {
  var start: MatchCursor {
    MatchCursor(
      node: Self.root, edge: MatchCursor.noEdge, length: 0,
      count: UInt32(layout.suffixes.count))
  }

  /// The cursor `length` tokens down, on the edge that leads to `edge` or at its end.
  @inline(__always)
  private func cursor(on edge: UInt32, from parent: UInt32, length: UInt32) -> MatchCursor {
    if Self.isLeaf(edge) {
      return MatchCursor(node: parent, edge: edge, length: length, count: 1)
    }
    let count = node(edge).count
    return nodeDepth(edge) == length
      ? MatchCursor(node: edge, edge: MatchCursor.noEdge, length: length, count: count)
      : MatchCursor(node: parent, edge: edge, length: length, count: count)
  }

  func child(of cursor: MatchCursor, token: Int32) -> MatchCursor? {
    assert(cursor.length < depth, "no continuation of a pattern of full depth is counted")
    if cursor.edge == MatchCursor.noEdge {
      guard let edge = edge(from: cursor.node, token: token) else { return nil }
      return self.cursor(on: edge, from: cursor.node, length: cursor.length + 1)
    }
    guard text(at: position(ofEdge: cursor.edge) + Int(cursor.length)) == token else { return nil }
    return self.cursor(on: cursor.edge, from: cursor.node, length: cursor.length + 1)
  }

  func shorten(_ cursor: inout MatchCursor) {
    assert(cursor.length > 0, "the empty pattern cannot be shortened")
    let length = cursor.length - 1
    if length == 0 {
      cursor = start
      return
    }
    // The pattern's own tokens, without the first, lead down from the link.
    let first =
      1
      + (cursor.edge == MatchCursor.noEdge
        ? suffix(node(cursor.node).firstRank) : position(ofEdge: cursor.edge))
    var parent = node(cursor.node).link
    var depth = nodeDepth(parent)
    while depth < length {
      guard let edge = edge(from: parent, token: text(at: first + Int(depth))) else {
        preconditionFailure("damaged sealed index: a suffix of a pattern is missing")
      }
      if Self.isLeaf(edge) || nodeDepth(edge) > length {
        cursor = self.cursor(on: edge, from: parent, length: length)
        return
      }
      parent = edge
      depth = nodeDepth(edge)
    }
    cursor = MatchCursor(
      node: parent, edge: MatchCursor.noEdge, length: length, count: node(parent).count)
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
      let token = text(at: position(ofEdge: cursor.edge) + Int(cursor.length))
      if token == SealedLayout.separator { return nil }
      return ChildCursor(
        token: token,
        cursor: self.cursor(on: cursor.edge, from: cursor.node, length: cursor.length + 1))
    }
    let inner = node(cursor.node).firstChild
    if inner < node(cursor.node + 1).firstChild { return innerChild(inner, of: cursor) }
    var first: ChildCursor?
    forEachLeaf(of: cursor.node) { token, rank in
      first = leafChild(token, rank, of: cursor)
      return false
    }
    return first
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
    var inner = node(cursor.node).firstChild
    let end = node(cursor.node + 1).firstChild
    while inner < end {
      if left == 0 || node(inner).count < countMin { return }
      children.append(innerChild(inner, of: cursor))
      inner += 1
      left -= 1
    }
    if countMin > 1 || left == 0 { return }
    forEachLeaf(of: cursor.node) { token, rank in
      children.append(leafChild(token, rank, of: cursor))
      left -= 1
      return left > 0
    }
  }

  private func innerChild(_ child: UInt32, of cursor: MatchCursor) -> ChildCursor {
    ChildCursor(
      token: image.load(layout.nodeTokens, Int(child)),
      cursor: self.cursor(on: child, from: cursor.node, length: cursor.length + 1))
  }

  private func leafChild(_ token: Int32, _ rank: UInt32, of cursor: MatchCursor) -> ChildCursor {
    ChildCursor(
      token: token,
      cursor: self.cursor(
        on: rank | SealedLayout.leafFlag, from: cursor.node, length: cursor.length + 1))
  }
}
