/// Checks the structure of a whole file, as of one transaction, without a call to LMDB.
///
/// LMDB trusts its pages. On damaged ones it reads and writes anywhere, divides by zero, or loops
/// forever, so a file of doubtful origin is checked here first. A file that passes has the shape
/// that LMDB itself gives a file: each page of the trees is in the file and used once, each node
/// lies inside its page, keys rise, and counts are right. LMDB then finds every entry, and can
/// change it. Checking the contents of the values is left to the layers above.
///
/// Trees are walked with a stack of pages, one for each level; no key is copied. A child's keys are
/// bounded by the separators around it, which are keys in pages of the stack.
///
/// The check never traps, for any bytes. Time is linear in the pages of the trees, plus one bit set
/// for each page of large values; of these only the first 16 bytes are read.
struct PageCheck {
  let file: DataFile
  let meta: MetaPage
  /// The use of each page, as far as it is known.
  var pages: PageUse
  var counts: PageCounts

  /// The pages between the root and the current page of the walk.
  var levels: [TreePage] = []
  /// Name, tree and page of the entries of the main tree.
  var tables: [(name: String, tree: TreeRecord, page: Int)] = []
  /// For each even offset of a page, the bytes of the node that begins there; all zero between uses.
  var nodeBytes: [UInt16]
  /// The buffer for values on overflow pages, in the tree of free pages.
  lazy var listBuffer = PageBuffer(byteCount: 1 << 16)

  /// The bytes that may be overwritten, if they are collected.
  var unused: UnusedBytes? { pages.unused }

  init(_ file: DataFile, _ meta: MetaPage, collectingUnused oldestRead: Int? = nil)
    throws(LMDBError)
  {
    self.file = file
    self.meta = meta
    pages = PageUse(
      lastPage: meta.lastPage, filePages: try file.byteCount() / meta.pageBytes,
      collectingUnused: oldestRead)
    nodeBytes = [UInt16](repeating: 0, count: meta.pageBytes / 2)
    counts = PageCounts(pageBytes: meta.pageBytes)
  }

  /// Checks the whole file.
  ///
  /// - Throws: `damagedPage`, or `inputOutput` if the disk fails.
  mutating func run() throws(LMDBError) {
    try walk(meta.main, .main, describedIn: meta.transaction & 1)
    // The walk over the main tree has found the tables.
    for table in tables {
      try walk(table.tree, .table(table.name), describedIn: table.page)
    }
    try walk(meta.free, .free, describedIn: meta.transaction & 1)
    counts.freePages = pages.free.count
    counts.leakedPages = pages.leaked
    pages.addLeaked(lastTransaction: meta.transaction)
  }
}

/// The numbers of pages of a file by use, as `ReadTransaction.checkingPages(of:)` found them.
public struct PageCounts: Equatable, Sendable {
  public var pageBytes: Int
  /// Pages that belong to trees.
  public var treePages = 0
  /// Pages that hold values too large for a node.
  public var valuePages = 0
  /// Pages that LMDB keeps for later use.
  public var freePages = 0
  /// Pages that are neither in use nor free. LMDB may lose some; they do no harm, but
  /// `copyCompacted` fails if there are any.
  public var leakedPages = 0

  init(pageBytes: Int) { self.pageBytes = pageBytes }
}
