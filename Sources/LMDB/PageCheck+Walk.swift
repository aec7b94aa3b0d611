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
      while levels.count < record.depth { levels.append(TreePage(pageBytes: meta.pageBytes)) }
      try enter(TreePage.Child(number: root), 0, record, tree, parent: page, &counted)
      var depth = 1
      while depth > 0 {
        let level = levels[depth - 1]
        guard let child = level.nextChild() else {
          depth -= 1
          continue
        }
        // A branch is never on the last level, so there is one below it.
        try enter(child, depth, record, tree, parent: level.number, &counted)
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
    _ child: TreePage.Child, _ depth: Int, _ record: TreeRecord, _ tree: Tree, parent: Int,
    _ counted: inout Counted
  ) throws(LMDBError) {
    try pages.use(child.number, pages: 1) { reason in
      .damagedPage(page: parent, table: tree.table, reason: reason)
    }
    let number = Int(child.number)
    func damaged(_ reason: String) -> LMDBError {
      .damagedPage(page: number, table: tree.table, reason: reason)
    }
    let page = levels[depth]
    try page.read(child, from: file, depth: depth + 1, of: record.depth, damaged)
    try page.checkNodes(tree, &nodeBytes, &pages.unused, damaged)
    try page.checkKeys(tree, damaged)
    if page.isLeaf {
      counted.leafPages += 1
      counted.entries += UInt64(page.nodes)
      for index in 0..<page.nodes {
        try checkEntry(page, index, tree, &counted, damaged)
      }
    } else {
      counted.branchPages += 1
    }
  }

  /// Checks the page or tree that an entry of a leaf refers to.
  private mutating func checkEntry(
    _ page: TreePage, _ index: Int, _ tree: Tree, _ counted: inout Counted,
    _ damaged: (String) -> LMDBError
  ) throws(LMDBError) {
    let (buffer, node, key) = (page.buffer, page.node(index), page.key(index))
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
      tables.append((name, record, page.number))
    case PageFormat.overflowNode:
      let number = buffer.uint64(at: value)
      let count = try checkOverflow(number, valueBytes, tree, damaged)
      counted.overflowPages += UInt64(count)
      let start = Int(number) * meta.pageBytes + PageFormat.headerBytes
      let listed =
        tree == .free
        ? try checkFreeList(
          transaction: buffer.uint64(at: key.lowerBound), start..<(start + valueBytes), damaged)
        : valueBytes
      pages.unused?.add((start + listed)..<((Int(number) + count) * meta.pageBytes))
    default:
      if tree == .free {
        let start = page.number * meta.pageBytes + value
        let listed = try checkFreeList(
          transaction: buffer.uint64(at: key.lowerBound), start..<(start + valueBytes), damaged)
        pages.unused?.add((start + listed)..<(start + valueBytes))
      }
    }
  }

  /// Checks the first page of a large value, and returns the number of its pages.
  private mutating func checkOverflow(
    _ number: UInt64, _ valueBytes: Int, _ tree: Tree, _ damaged: (String) -> LMDBError
  ) throws(LMDBError) -> Int {
    let pagesMin = PageFormat.overflowPages(valueBytes: valueBytes, pageBytes: meta.pageBytes)
    // At least this many pages must be in the file before the first is read.
    try pages.checkInFile(number, pages: pagesMin, damaged)
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
    let count = head.uint32(at: 12)
    guard count >= pagesMin else {
      throw damagedHead(
        "pages: expected \(pagesMin) at least for \(valueBytes) bytes, found \(count)")
    }
    try pages.use(number, pages: count, damaged)
    return count
  }
}
