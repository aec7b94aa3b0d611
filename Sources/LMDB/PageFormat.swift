/// The layout of LMDB's file: format version 1, 64-bit, little-endian.
///
/// The file is an array of pages. Pages 0 and 1 are *meta pages*; transaction n writes page n mod
/// 2, so that the meta page before it stays intact. All other pages are reached from the newer one.
///
///     page       0 page number u64 · 8 pad u16 · 10 flags u16 · then by kind:
///      meta     16 magic u32 · 20 version u32 · 24 address u64 · 32 map bytes u64
///               40 tree of free pages · 88 main tree · 136 last page u64 · 144 transaction u64
///      branch,  12 lower u16 · 14 upper u16 · 16 offsets of nodes, u16 each, up to lower
///      leaf        gap · nodes from upper to the end of the page, side by side in any order
///      overflow 12 pages of the run u32 · 16 one value, over the whole run
///
///     node       0 bytes of the value u32 · 4 flags u16 · 6 bytes of the key u16 · 8 key · value,
///                padded to an even size. In a branch the first 6 bytes are the child's page number,
///                and the first node's key has no meaning.
///
///     tree       0 pad u32 · 4 flags u16 · 6 depth u16 · 8 branch pages u64 · 16 leaf pages u64
///                24 overflow pages u64 · 32 entries u64 · 40 root u64, all ones for an empty tree
///
/// The pad of the tree of free pages holds the size of a page in bytes. A named table is an entry
/// of the main tree whose value is its tree. An entry of the tree of free pages is: transaction →
/// number of pages that it freed u64, their numbers u64 each, falling; unused room may follow.
enum PageFormat {
  static let magic = 0xBEEF_C0DE
  static let version = 1

  static let headerBytes = 16
  static let nodeHeaderBytes = 8
  static let treeBytes = 48
  static let metaBytes = 152
  static let metaPages = 2

  static let branchFlag = 0x01
  static let leafFlag = 0x02
  static let overflowFlag = 0x04
  static let metaFlag = 0x08

  /// The value is on overflow pages; the node holds the number of the first.
  static let overflowNode = 0x01
  /// The value is a tree.
  static let treeNode = 0x02

  /// The keys are integers of the machine; used by the tree of free pages.
  static let integerKeyFlag = 0x08
  /// An option of the environment that LMDB writes beside the flags of the tree of free pages.
  static let singleFileFlag = 0x4000

  /// The permitted sizes of a page. LMDB uses the page size of the system, which is 4 KiB or more on
  /// Linux, but at most 32 KiB. Smaller pages than 4 KiB have no room for several keys of 511 bytes.
  static let pageBytesRange = 4096...32768

  /// LMDB's cursors hold 32 levels. Trees are refused far below that, so that none reaches it by
  /// commits: at two children a branch, this many levels take 32 GiB of leaves.
  static let depthMax = 24

  /// Far below the number at which LMDB's arithmetic on transaction numbers would wrap.
  static let transactionMax = 1 << 62

  /// The largest node of a leaf; LMDB puts larger values on overflow pages, so that each page has
  /// room for two nodes.
  static func nodeBytesMax(pageBytes: Int) -> Int { ((pageBytes - headerBytes) / 2) & ~1 - 2 }

  /// The least number of pages that a value on overflow pages takes.
  static func overflowPages(valueBytes: Int, pageBytes: Int) -> Int {
    (headerBytes - 1 + valueBytes) / pageBytes + 1
  }
}

/// A tree of the file.
enum Tree: Equatable {
  case free, main
  case table(String)

  /// The name of the tree in errors; nil for LMDB's own trees.
  var table: String? {
    if case .table(let name) = self { name } else { nil }
  }
}

/// The description of one B-tree, as a meta page or the main tree holds it.
struct TreeRecord: Equatable {
  var pad: Int
  var flags: Int
  var depth: Int
  var branchPages: UInt64
  var leafPages: UInt64
  var overflowPages: UInt64
  var entries: UInt64
  /// The number of the root's page, nil for an empty tree.
  var root: UInt64?

  init(_ bytes: PageBuffer, at offset: Int) {
    pad = bytes.uint32(at: offset)
    flags = bytes.uint16(at: offset + 4)
    depth = bytes.uint16(at: offset + 6)
    branchPages = bytes.uint64(at: offset + 8)
    leafPages = bytes.uint64(at: offset + 16)
    overflowPages = bytes.uint64(at: offset + 24)
    entries = bytes.uint64(at: offset + 32)
    let root = bytes.uint64(at: offset + 40)
    self.root = root == .max ? nil : root
  }
}
