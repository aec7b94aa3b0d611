/// A page of a tree, in the stack of a walk, and the checks of the page itself.
final class TreePage {
  let buffer: PageBuffer
  private(set) var number = 0
  private(set) var isLeaf = false
  private(set) var nodes = 0
  /// The index of the child that is walked next.
  private var next = 0
  /// Lower bound of all keys; nil if there is none.
  private var lower: Separator?
  /// Upper bound, larger than all keys; nil if there is none.
  private var upper: Separator?

  /// A key in a page nearer to the root, which stays there while the walk is below it.
  struct Separator {
    let page: TreePage
    let key: Range<Int>
  }

  /// The page to which a node of a branch refers, and the bounds of the keys in it.
  struct Child {
    let number: UInt64
    var lower: Separator?
    var upper: Separator?
  }

  init(pageBytes: Int) { buffer = PageBuffer(byteCount: pageBytes) }

  /// Reads another page into this level of the stack, and checks its head.
  ///
  /// - Parameters:
  ///   - child: A page of the file.
  ///   - depth: The depth of the page; 1 for the root.
  ///   - treeDepth: The depth of the leaves.
  func read(
    _ child: Child, from file: DataFile, depth: Int, of treeDepth: Int,
    _ damaged: (String) -> LMDBError
  ) throws(LMDBError) {
    let page = Int(child.number)
    guard
      try file.read(buffer.byteCount, at: page * buffer.byteCount, into: buffer)
        == buffer.byteCount
    else { throw damaged("the file ends within the page") }
    guard buffer.uint64(at: 0) == child.number else {
      throw damaged("page number: expected \(page), found \(buffer.uint64(at: 0))")
    }
    let isLeaf = depth == treeDepth
    let flags = isLeaf ? PageFormat.leafFlag : PageFormat.branchFlag
    guard buffer.uint16(at: 10) == flags else {
      throw damaged(
        "flags: expected \(flags), \(isLeaf ? "a leaf" : "a branch") at depth \(depth) of "
          + "\(treeDepth), found \(buffer.uint16(at: 10))")
    }
    number = page
    self.isLeaf = isLeaf
    next = 0
    lower = child.lower
    upper = child.upper
  }

  // MARK: Nodes

  /// The offset of a node. It is inside the page only after `checkNodes`.
  func node(_ index: Int) -> Int { buffer.uint16(at: PageFormat.headerBytes + 2 * index) }

  /// The byte range of a node's key. It is inside the page only after `checkNodes`.
  func key(_ index: Int) -> Range<Int> {
    let key = node(index) + PageFormat.nodeHeaderBytes
    return key..<(key + buffer.uint16(at: node(index) + 6))
  }

  /// The next child of a branch; nil after the last one, and for a leaf.
  func nextChild() -> Child? {
    if isLeaf || next == nodes { return nil }
    let child = next
    next += 1
    return Child(
      number: buffer.uint64(at: node(child)) & 0xFFFF_FFFF_FFFF,
      lower: child == 0 ? lower : Separator(page: self, key: key(child)),
      upper: child + 1 == nodes ? upper : Separator(page: self, key: key(child + 1)))
  }

  // MARK: Checks

  /// Checks that the nodes lie side by side, without gaps, from `upper` to the end of the page.
  ///
  /// - Parameters:
  ///   - nodeBytes: For each even offset of a page, the bytes of the node that begins there; all
  ///     zero before and after.
  ///   - unused: Collects the bytes that belong to no node.
  func checkNodes(
    _ tree: Tree, _ nodeBytes: inout [UInt16], _ unused: inout UnusedBytes?,
    _ damaged: (String) -> LMDBError
  ) throws(LMDBError) {
    let pageBytes = buffer.byteCount
    let (lower, upper) = (buffer.uint16(at: 12), buffer.uint16(at: 14))
    guard lower >= PageFormat.headerBytes, lower <= upper, upper <= pageBytes, lower & 1 == 0,
      upper & 1 == 0
    else { throw damaged("bounds of the gap: found \(lower) and \(upper)") }
    nodes = (lower - PageFormat.headerBytes) / 2
    let nodesMin = isLeaf ? 1 : 2
    guard nodes >= nodesMin else {
      throw damaged("nodes: expected \(nodesMin) at least, found \(nodes)")
    }
    for index in 0..<nodes {
      let node = node(index)
      guard node & 1 == 0, node >= upper, node <= pageBytes - PageFormat.nodeHeaderBytes else {
        throw damaged("node \(index): expected within \(upper)..<\(pageBytes), found at \(node)")
      }
      let bytes = try checkNode(index, tree, damaged)
      guard bytes <= pageBytes - node else {
        throw damaged("node \(index): \(bytes) bytes at \(node) leave the page")
      }
      guard nodeBytes[node / 2] == 0 else {
        throw damaged("node \(index): another one is at \(node)")
      }
      nodeBytes[node / 2] = UInt16(bytes)
    }
    // Each node must begin where another ends. Then the number of nodes passed equals the number of
    // nodes, and none overlaps another.
    var (offset, passed) = (upper, 0)
    while offset < pageBytes {
      let bytes = Int(nodeBytes[offset / 2])
      guard bytes > 0 else { throw damaged("no node begins at \(offset), where one should") }
      nodeBytes[offset / 2] = 0
      passed += 1
      offset += (bytes + 1) & ~1
      if bytes & 1 == 1 { unused?.add((offset - 1)..<offset, of: self) }
    }
    guard passed == nodes else { throw damaged("nodes overlap") }
    unused?.add(lower..<upper, of: self)
  }

  /// Checks one node, and returns its length in bytes, without the padding to an even number.
  private func checkNode(
    _ index: Int, _ tree: Tree, _ damaged: (String) -> LMDBError
  ) throws(LMDBError) -> Int {
    let node = node(index)
    let keyBytes = buffer.uint16(at: node + 6)
    // The first key of a branch has no meaning.
    let isImplicit = !isLeaf && index == 0
    let keyRange =
      tree == .free && !isImplicit ? 8...8 : (isImplicit ? 0 : 1)...Key.bytesMax
    guard keyRange.contains(keyBytes) else {
      throw damaged("node \(index): expected a key of \(keyRange) bytes, found \(keyBytes)")
    }
    if !isLeaf { return PageFormat.nodeHeaderBytes + keyBytes }

    let flags = buffer.uint16(at: node + 4)
    let valueBytes: Int
    switch flags {
    case PageFormat.overflowNode:
      valueBytes = 8
    case PageFormat.treeNode:
      valueBytes = buffer.uint32(at: node)
      guard tree == .main, valueBytes == PageFormat.treeBytes else {
        throw damaged("node \(index): a table of \(valueBytes) bytes, not in the main tree")
      }
    case 0:
      valueBytes = buffer.uint32(at: node)
    default:
      throw damaged("node \(index): flags: found \(flags)")
    }
    // No other program stores values beside the tables.
    guard tree != .main || flags == PageFormat.treeNode else {
      throw damaged("node \(index): expected a table, found a value in the main tree")
    }
    let bytes = PageFormat.nodeHeaderBytes + keyBytes + valueBytes
    let bytesMax = PageFormat.nodeBytesMax(pageBytes: buffer.byteCount)
    guard bytes <= bytesMax else {
      throw damaged("node \(index): expected \(bytesMax) bytes at most, found \(bytes)")
    }
    return bytes
  }

  /// Checks that keys rise, and stay between the separators of the page above.
  func checkKeys(_ tree: Tree, _ damaged: (String) -> LMDBError) throws(LMDBError) {
    func order(_ index: Int, _ other: TreePage, _ otherKey: Range<Int>) -> Int {
      let key = key(index)
      if tree == .free {
        let (number, otherNumber) = (
          buffer.uint64(at: key.lowerBound), other.buffer.uint64(at: otherKey.lowerBound)
        )
        return number < otherNumber ? -1 : number > otherNumber ? 1 : 0
      }
      return buffer.compare(key, other.buffer, otherKey)
    }
    let first = isLeaf ? 0 : 1
    if let lower {
      guard order(first, lower.page, lower.key) >= 0 else {
        throw damaged("node \(first): its key comes before the page's separator")
      }
    }
    for index in (first + 1)..<max(first + 1, nodes) {
      guard order(index, self, key(index - 1)) > 0 else {
        throw damaged("node \(index): its key does not come after the one before")
      }
    }
    if let upper {
      guard order(nodes - 1, upper.page, upper.key) < 0 else {
        throw damaged("node \(nodes - 1): its key comes after the next page's separator")
      }
    }
  }
}
