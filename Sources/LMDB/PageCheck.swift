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
  /// Whole pages in the file.
  let filePages: Int
  /// Pages of the trees and of large values.
  var used: PageSet
  /// Pages in the list of free pages.
  var free: PageSet
  var counts: PageCounts

  /// The pages between the root and the current page of the walk.
  var levels: [Level] = []
  /// Name, tree and page of the entries of the main tree.
  var tables: [(name: String, tree: TreeRecord, page: Int)] = []
  /// For each even offset of a page, the bytes of the node that begins there; all zero between uses.
  var nodeBytes: [UInt16]
  /// The buffer for values on overflow pages, in the tree of free pages.
  lazy var listBuffer = PageBuffer(byteCount: 1 << 16)

  /// Collects the bytes that may be overwritten, if wanted.
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
    counts.freePages = free.count
    counts.leakedPages = meta.lastPage + 1 - PageFormat.metaPages - used.count - free.count
    unused?.addLeaked(used: used, free: free, lastTransaction: meta.transaction)
  }

  /// The tree that is being walked.
  enum Tree: Equatable {
    case free, main
    case table(String)

    /// The name of the tree in errors; nil for LMDB's own trees.
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
    /// The number of the child that is walked next.
    var next = 0
    /// Lower bound of all keys; nil if there is none.
    var lower: KeyPlace?
    /// Upper bound, larger than all keys; nil if there is none.
    var upper: KeyPlace?

    init(pageBytes: Int) { buffer = PageBuffer(byteCount: pageBytes) }
  }

  /// A key in a page of the stack.
  struct KeyPlace {
    var level: Int
    var bytes: Range<Int>
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
