extension PageCheck {
  /// The totals of a walk, compared afterwards with the tree's description.
  struct Counted {
    var branchPages: UInt64 = 0
    var leafPages: UInt64 = 0
    var overflowPages: UInt64 = 0
    var entries: UInt64 = 0
  }

  /// Checks a tree and everything that it refers to.
  ///
  /// - Parameter describedIn: The page that holds `record`.
  mutating func walk(_ record: TreeRecord, _ tree: Tree, describedIn page: Int) throws(LMDBError) {
    var counted = Counted()
    if let root = record.root {
      while levels.count < record.depth { levels.append(Level(pageBytes: meta.pageBytes)) }
      try enter(root, 0, nil, nil, record, tree, parent: page, &counted)
      var depth = 1
      while depth > 0 {
        let level = levels[depth - 1]
        if level.isLeaf || level.next == level.nodes {
          depth -= 1
          continue
        }
        let child = level.next
        level.next += 1
        let node = level.node(child)
        let lower =
          child == 0 ? level.lower : KeyPlace(level: depth - 1, bytes: level.key(child))
        let upper =
          child + 1 == level.nodes
          ? level.upper : KeyPlace(level: depth - 1, bytes: level.key(child + 1))
        let number = level.buffer.uint64(at: node) & 0xFFFF_FFFF_FFFF
        // A branch is never on the last level, so there is one below it.
        try enter(number, depth, lower, upper, record, tree, parent: level.page, &counted)
        depth += 1
      }
    }
    func compare(_ what: String, _ expected: UInt64, _ found: UInt64) throws(LMDBError) {
      guard expected == found else {
        throw .damagedPage(
          page: page, table: tree.table, reason: "\(what): expected \(expected), found \(found)")
      }
    }
    try compare("branch pages", record.branchPages, counted.branchPages)
    try compare("leaf pages", record.leafPages, counted.leafPages)
    try compare("overflow pages", record.overflowPages, counted.overflowPages)
    try compare("entries", record.entries, counted.entries)
    counts.treePages += Int(counted.branchPages + counted.leafPages)
    counts.valuePages += Int(counted.overflowPages)
  }

  /// Reads a page of a tree into its level of the stack, and checks it.
  private mutating func enter(
    _ number: UInt64, _ depth: Int, _ lower: KeyPlace?, _ upper: KeyPlace?, _ record: TreeRecord,
    _ tree: Tree, parent: Int, _ counted: inout Counted
  ) throws(LMDBError) {
    try use(number, pages: 1, tree, from: parent)
    let page = Int(number)
    func damaged(_ reason: String) -> LMDBError {
      .damagedPage(page: page, table: tree.table, reason: reason)
    }
    let level = levels[depth]
    let buffer = level.buffer
    guard try file.read(meta.pageBytes, at: page * meta.pageBytes, into: buffer) == meta.pageBytes
    else { throw damaged("the file ends within the page") }
    guard buffer.uint64(at: 0) == number else {
      throw damaged("page number: expected \(page), found \(buffer.uint64(at: 0))")
    }
    let isLeaf = depth == record.depth - 1
    let flags = isLeaf ? PageFormat.leafFlag : PageFormat.branchFlag
    guard buffer.uint16(at: 10) == flags else {
      throw damaged(
        "flags: expected \(flags), \(isLeaf ? "a leaf" : "a branch") at depth \(depth + 1) of "
          + "\(record.depth), found \(buffer.uint16(at: 10))")
    }
    level.page = page
    level.isLeaf = isLeaf
    level.next = 0
    level.lower = lower
    level.upper = upper
    try checkNodes(level, tree, damaged)
    try checkKeys(level, depth, tree, damaged)
    if isLeaf {
      counted.leafPages += 1
      counted.entries += UInt64(level.nodes)
      for index in 0..<level.nodes {
        try checkEntry(level, index, tree, &counted, damaged)
      }
    } else {
      counted.branchPages += 1
    }
  }

  /// Marks pages as used; no other node may refer to them.
  private mutating func use(
    _ number: UInt64, pages: Int, _ tree: Tree, from parent: Int
  ) throws(LMDBError) {
    func damaged(_ reason: String) -> LMDBError {
      .damagedPage(page: parent, table: tree.table, reason: reason)
    }
    // Neither number is negative, and `used.bound` is less than 2⁴⁹.
    guard number >= UInt64(PageFormat.metaPages), number < UInt64(used.bound),
      pages <= used.bound - Int(number)
    else {
      throw damaged(
        "refers to \(pages) pages from \(number), where the file has \(used.bound)")
    }
    for page in Int(number)..<(Int(number) + pages) {
      guard used.insert(page) else {
        throw damaged("refers to page \(page), which is in use elsewhere")
      }
      guard !free.contains(page) else {
        throw damaged("refers to page \(page), which is in the list of free pages")
      }
    }
  }

  /// Checks that the nodes lie side by side, without gaps, from `upper` to the end of the page.
  private mutating func checkNodes(
    _ level: Level, _ tree: Tree, _ damaged: (String) -> LMDBError
  ) throws(LMDBError) {
    let (buffer, pageBytes) = (level.buffer, meta.pageBytes)
    let (lower, upper) = (buffer.uint16(at: 12), buffer.uint16(at: 14))
    guard lower >= PageFormat.headerBytes, lower <= upper, upper <= pageBytes, lower & 1 == 0,
      upper & 1 == 0
    else { throw damaged("bounds of the gap: found \(lower) and \(upper)") }
    level.nodes = (lower - PageFormat.headerBytes) / 2
    let nodesMin = level.isLeaf ? 1 : 2
    guard level.nodes >= nodesMin else {
      throw damaged("nodes: expected \(nodesMin) at least, found \(level.nodes)")
    }
    for index in 0..<level.nodes {
      let node = level.node(index)
      guard node & 1 == 0, node >= upper, node <= pageBytes - PageFormat.nodeHeaderBytes else {
        throw damaged("node \(index): expected within \(upper)..<\(pageBytes), found at \(node)")
      }
      let bytes = try checkNode(level, index, tree, damaged)
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
      if bytes & 1 == 1 { unused?.add((offset - 1)..<offset, of: level) }
    }
    guard passed == level.nodes else { throw damaged("nodes overlap") }
    unused?.add(lower..<upper, of: level)
  }

  /// Checks one node, and returns its length in bytes, without the padding to an even number.
  private func checkNode(
    _ level: Level, _ index: Int, _ tree: Tree, _ damaged: (String) -> LMDBError
  ) throws(LMDBError) -> Int {
    let (buffer, node) = (level.buffer, level.node(index))
    let keyBytes = buffer.uint16(at: node + 6)
    // The first key of a branch has no meaning.
    let isImplicit = !level.isLeaf && index == 0
    let keyRange =
      tree == .free && !isImplicit ? 8...8 : (isImplicit ? 0 : 1)...Key.bytesMax
    guard keyRange.contains(keyBytes) else {
      throw damaged("node \(index): expected a key of \(keyRange) bytes, found \(keyBytes)")
    }
    if !level.isLeaf { return PageFormat.nodeHeaderBytes + keyBytes }

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
    let bytesMax = PageFormat.nodeBytesMax(pageBytes: meta.pageBytes)
    guard bytes <= bytesMax else {
      throw damaged("node \(index): expected \(bytesMax) bytes at most, found \(bytes)")
    }
    return bytes
  }

  /// Checks that keys rise, and stay between the separators of the page above.
  private func checkKeys(
    _ level: Level, _ depth: Int, _ tree: Tree, _ damaged: (String) -> LMDBError
  ) throws(LMDBError) {
    func order(_ index: Int, _ other: Level, _ otherKey: Range<Int>) -> Int {
      let key = level.key(index)
      if tree == .free {
        let (number, otherNumber) = (
          level.buffer.uint64(at: key.lowerBound), other.buffer.uint64(at: otherKey.lowerBound)
        )
        return number < otherNumber ? -1 : number > otherNumber ? 1 : 0
      }
      return level.buffer.compare(key, other.buffer, otherKey)
    }
    let first = level.isLeaf ? 0 : 1
    if let lower = level.lower {
      guard order(first, levels[lower.level], lower.bytes) >= 0 else {
        throw damaged("node \(first): its key comes before the page's separator")
      }
    }
    for index in (first + 1)..<max(first + 1, level.nodes) {
      guard order(index, level, level.key(index - 1)) > 0 else {
        throw damaged("node \(index): its key does not come after the one before")
      }
    }
    if let upper = level.upper {
      guard order(level.nodes - 1, levels[upper.level], upper.bytes) < 0 else {
        throw damaged("node \(level.nodes - 1): its key comes after the next page's separator")
      }
    }
  }

  /// Checks the page or tree that an entry of a leaf refers to.
  private mutating func checkEntry(
    _ level: Level, _ index: Int, _ tree: Tree, _ counted: inout Counted,
    _ damaged: (String) -> LMDBError
  ) throws(LMDBError) {
    let (buffer, node, key) = (level.buffer, level.node(index), level.key(index))
    let value = key.upperBound
    let valueBytes = buffer.uint32(at: node)
    switch buffer.uint16(at: node + 4) {
    case PageFormat.treeNode:
      let name = String(decoding: buffer.array(key), as: UTF8.self)
      let record = TreeRecord(buffer, at: value)
      guard record.flags == 0, record.pad == 0 else {
        throw damaged("table \(name): expected flags 0, found \(record.flags), pad \(record.pad)")
      }
      try record.check(lastPage: meta.lastPage, "table \(name)", damaged)
      tables.append((name, record, level.page))
    case PageFormat.overflowNode:
      let number = buffer.uint64(at: value)
      let pages = try checkOverflow(number, valueBytes, level.page, tree, damaged)
      counted.overflowPages += UInt64(pages)
      let start = Int(number) * meta.pageBytes + PageFormat.headerBytes
      let listed =
        tree == .free
        ? try checkFreeList(
          transaction: buffer.uint64(at: key.lowerBound), start..<(start + valueBytes), damaged)
        : valueBytes
      unused?.add((start + listed)..<((Int(number) + pages) * meta.pageBytes))
    default:
      if tree == .free {
        let start = level.page * meta.pageBytes + value
        let listed = try checkFreeList(
          transaction: buffer.uint64(at: key.lowerBound), start..<(start + valueBytes), damaged)
        unused?.add((start + listed)..<(start + valueBytes))
      }
    }
  }

  /// Checks the first page of a large value, and returns the number of its pages.
  private mutating func checkOverflow(
    _ number: UInt64, _ valueBytes: Int, _ parent: Int, _ tree: Tree,
    _ damaged: (String) -> LMDBError
  ) throws(LMDBError) -> Int {
    let pagesMin = PageFormat.overflowPages(valueBytes: valueBytes, pageBytes: meta.pageBytes)
    // At least this many pages must be in the file before the first is read.
    guard number >= UInt64(PageFormat.metaPages), number < UInt64(used.bound),
      pagesMin <= used.bound - Int(number)
    else {
      throw damaged(
        "refers to \(pagesMin) pages from \(number), where the file has \(used.bound)")
    }
    let page = Int(number)
    let head = listBuffer
    guard
      try file.read(PageFormat.headerBytes, at: page * meta.pageBytes, into: head)
        == PageFormat.headerBytes
    else { throw damaged("the file ends before page \(page)") }
    func damagedHead(_ reason: String) -> LMDBError {
      .damagedPage(page: page, table: tree.table, reason: reason)
    }
    guard head.uint64(at: 0) == number else {
      throw damagedHead("page number: expected \(page), found \(head.uint64(at: 0))")
    }
    guard head.uint16(at: 10) == PageFormat.overflowFlag else {
      throw damagedHead(
        "flags: expected \(PageFormat.overflowFlag), found \(head.uint16(at: 10))")
    }
    // A value that replaced a longer one in the same transaction has more pages than it needs.
    let pages = head.uint32(at: 12)
    guard pages >= pagesMin else {
      throw damagedHead(
        "pages: expected \(pagesMin) at least for \(valueBytes) bytes, found \(pages)")
    }
    try use(number, pages: pages, tree, from: parent)
    return pages
  }
}

extension PageCheck.Level {
  /// The offset of a node. It is inside the page only after `checkNodes`.
  func node(_ index: Int) -> Int { buffer.uint16(at: PageFormat.headerBytes + 2 * index) }

  /// The byte range of a node's key. It is inside the page only after `checkNodes`.
  func key(_ index: Int) -> Range<Int> {
    let key = node(index) + PageFormat.nodeHeaderBytes
    return key..<(key + buffer.uint16(at: node(index) + 6))
  }
}
