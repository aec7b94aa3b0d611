/// Checks the structure of a whole file, as of one transaction, without a call to LMDB.
///
/// LMDB trusts its pages. On damaged ones it reads and writes anywhere, divides by zero, or goes in
/// circles, so a file of doubtful origin is checked here first. What passes has the shape that LMDB
/// itself gives a file: each page of the trees is in the file and used once, each node lies inside
/// its page, keys rise, and counts are right. LMDB then finds every entry, and can change them. What
/// the values hold is for the layers above to check.
///
/// Trees are walked with a stack of pages, one a level; no key is copied. A child's keys are bounded
/// by the separators around it, which are keys in pages of the stack.
///
/// It never traps, whatever the bytes. Time is linear in the pages of the trees, and to set a bit
/// for each page of large values; these are not read, but for their first 16 bytes.
struct PageCheck {
  let file: DataFile
  let meta: MetaPage
  /// Whole pages in the file.
  let filePages: Int
  /// Pages of the trees and of large values.
  var used: PageSet
  /// Pages in the list of free pages.
  var free: PageSet
  var counts: PageCounts

  /// The pages between the root and where the walk is.
  var levels: [Level] = []
  /// The name and the trees that entries of the main tree hold.
  var tables: [(name: String, tree: TreeRecord, page: Int)] = []
  /// For each even offset of a page, the bytes of the node that begins there; all zero between uses.
  var nodeBytes: [UInt16]
  /// Where values on overflow pages are read, in the tree of free pages.
  lazy var listBuffer = PageBuffer(byteCount: 1 << 16)

  /// Collects what may be overwritten, where that is wanted.
  var unused: UnusedBytes?

  init(_ file: DataFile, _ meta: MetaPage, collectingUnused oldestRead: Int? = nil)
    throws(LMDBError)
  {
    self.file = file
    self.meta = meta
    filePages = try file.byteCount() / meta.pageBytes
    used = PageSet(bound: min(meta.lastPage + 1, filePages))
    free = PageSet(bound: meta.lastPage + 1)
    nodeBytes = [UInt16](repeating: 0, count: meta.pageBytes / 2)
    counts = PageCounts(pageBytes: meta.pageBytes)
    if let oldestRead {
      unused = UnusedBytes(oldestRead: oldestRead, pagesBound: used.bound)
    }
  }

  /// Checks everything.
  ///
  /// - Throws: `damagedPage`, or `inputOutput` where the disk fails.
  mutating func run() throws(LMDBError) {
    try walk(meta.main, .main, describedIn: meta.transaction & 1)
    // The main tree's walk has found them.
    for table in tables {
      try walk(table.tree, .table(table.name), describedIn: table.page)
    }
    try walk(meta.free, .free, describedIn: meta.transaction & 1)
    counts.freePages = free.count
    counts.leakedPages = meta.lastPage + 1 - PageFormat.metaPages - used.count - free.count
    unused?.addLeaked(used: used, free: free, lastTransaction: meta.transaction)
  }

  /// Whose tree is walked.
  enum Tree: Equatable {
    case free, main
    case table(String)

    /// What errors call it.
    var table: String? {
      if case .table(let name) = self { name } else { nil }
    }
  }

  /// A page of the stack.
  final class Level {
    let buffer: PageBuffer
    var page = 0
    var isLeaf = false
    var nodes = 0
    /// The child that is walked next.
    var next = 0
    /// No key is smaller.
    var lower: KeyPlace?
    /// All keys are smaller.
    var upper: KeyPlace?

    init(pageBytes: Int) { buffer = PageBuffer(byteCount: pageBytes) }
  }

  /// A key in a page of the stack.
  struct KeyPlace {
    var level: Int
    var bytes: Range<Int>
  }
}

/// How the pages of a file are used, as `ReadTransaction.checkingPages(of:)` found it.
public struct PageCounts: Equatable, Sendable {
  public var pageBytes: Int
  /// Pages of trees.
  public var treePages = 0
  /// Pages of values that have pages of their own.
  public var valuePages = 0
  /// Pages that LMDB keeps for later use.
  public var freePages = 0
  /// Pages that are neither in use nor free. LMDB may lose some; they do no harm, but `copyCompacted`
  /// fails.
  public var leakedPages = 0

  init(pageBytes: Int) { self.pageBytes = pageBytes }
}
