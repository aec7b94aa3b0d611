import Files
import SystemPackage

/// The contents of one of the two meta pages, checked.
///
/// LMDB uses the page with the larger transaction number. Of the other it reads only that number
/// and the size of the map. A commit that fails to write it may leave new trees beside the old
/// number there, so its trees are not checked.
struct MetaPage {
  /// The transaction whose state this is.
  let transaction: Int
  let pageBytes: Int
  /// The last page that the file has ever had.
  let lastPage: Int
  /// The tree of free pages.
  let free: TreeRecord
  let main: TreeRecord

  /// Refuses a data file whose meta pages are unsafe for LMDB, which would divide by their page
  /// size and map the sizes that they contain.
  ///
  /// - Returns: The size of the file in bytes; 0 for a file that LMDB will create.
  static func check(_ path: String, mayBeMissing: Bool) throws(LMDBError) -> Int {
    let file: DataFile
    do { file = DataFile(descriptor: try .opened(path, .readOnly)) } catch {
      if error == .noSuchFileOrDirectory && mayBeMissing { return 0 }
      throw .inaccessible(path: path, errno: error.rawValue)
    }
    // Closing releases no lock: LMDB's locks are on the lock file.
    defer { try? file.descriptor.close() }
    let fileBytes = try file.byteCount()
    if fileBytes == 0 && mayBeMissing { return 0 }
    _ = try newest(in: file)
    return fileBytes
  }

  /// The newer meta page of a file. Safe while another process commits.
  ///
  /// - Throws: `damagedPage` if LMDB could not have left these bytes.
  static func newest(in file: DataFile) throws(LMDBError) -> MetaPage {
    let transactions = try settled { () throws(LMDBError) in
      let first = try MetaPage(reading: 0, in: file, pageBytes: nil)
      let second = try MetaPage(reading: 1, in: file, pageBytes: first.pageBytes)
      let (even, odd) = (first.transaction, second.transaction)
      // Both are 0 in a file that was created and never written to.
      guard abs(even - odd) == 1 || (even == 0 && odd == 0) else {
        throw .damagedPage(
          page: odd > even ? 1 : 0, table: nil,
          reason: "transaction: expected one more than the other meta page's "
            + "\(min(even, odd)), found \(max(even, odd))")
      }
      return (even: even, odd: odd, pageBytes: first.pageBytes)
    }
    let newest = max(transactions.even, transactions.odd)
    return try settled { () throws(LMDBError) in
      let meta = try MetaPage(
        reading: newest & 1, in: file, pageBytes: transactions.pageBytes)
      // A commit in the meantime leaves a newer page in its place, which serves as well.
      try meta.checkTrees(in: file)
      return meta
    }
  }

  /// The meta page that a transaction wrote, or nil if a later one has replaced it.
  static func of(transaction: Int, in file: DataFile, pageBytes: Int) throws(LMDBError)
    -> MetaPage?
  {
    try settled { () throws(LMDBError) in
      let meta = try MetaPage(reading: transaction & 1, in: file, pageBytes: pageBytes)
      if meta.transaction != transaction { return nil }
      try meta.checkTrees(in: file)
      return meta
    }
  }

  /// A read during a commit may see half of it; real damage persists and is found again.
  private static func settled<Result>(_ body: () throws(LMDBError) -> Result) throws(LMDBError)
    -> Result
  {
    var last: LMDBError?
    for _ in 0..<100 {
      do throws(LMDBError) {
        return try body()
      } catch {
        if error == last { throw error }
        last = error
      }
    }
    throw last ?? .damaged
  }

  private init(reading page: Int, in file: DataFile, pageBytes: Int?) throws(LMDBError) {
    func damaged(_ reason: String) -> LMDBError {
      .damagedPage(page: page, table: nil, reason: reason)
    }
    let bytes = PageBuffer(byteCount: PageFormat.metaBytes)
    let read = try file.read(
      PageFormat.metaBytes, at: page * (pageBytes ?? 0), into: bytes)
    guard read == PageFormat.metaBytes else {
      throw damaged("the file ends within the meta page")
    }
    let magic = bytes.uint32(at: 16)
    guard magic == PageFormat.magic else {
      throw damaged(
        "expected LMDB's mark \(String(PageFormat.magic, radix: 16)), "
          + "found \(String(magic, radix: 16))")
    }
    guard bytes.uint32(at: 20) == PageFormat.version else {
      throw damaged(
        "version of LMDB's format: expected \(PageFormat.version), found \(bytes.uint32(at: 20))")
    }
    guard bytes.uint64(at: 0) == UInt64(page) else {
      throw damaged("page number: expected \(page), found \(bytes.uint64(at: 0))")
    }
    guard bytes.uint16(at: 10) == PageFormat.metaFlag else {
      throw damaged("flags: expected \(PageFormat.metaFlag), found \(bytes.uint16(at: 10))")
    }
    free = TreeRecord(bytes, at: 40)
    main = TreeRecord(bytes, at: 88)
    if let pageBytes {
      guard free.pad == pageBytes else {
        throw damaged("page size: expected \(pageBytes), as in page 0, found \(free.pad)")
      }
    }
    guard PageFormat.pageBytesRange.contains(free.pad), free.pad & (free.pad - 1) == 0 else {
      throw damaged(
        "page size: expected a power of two in \(PageFormat.pageBytesRange), found \(free.pad)")
    }
    self.pageBytes = free.pad
    guard free.flags & ~PageFormat.singleFileFlag == PageFormat.integerKeyFlag else {
      throw damaged(
        "flags of the free pages' tree: expected \(PageFormat.integerKeyFlag), found \(free.flags)")
    }
    guard main.flags == 0, main.pad == 0 else {
      throw damaged("flags of the main tree: expected 0, found \(main.flags), pad \(main.pad)")
    }
    let transaction = bytes.uint64(at: 144)
    guard transaction <= UInt64(PageFormat.transactionMax),
      transaction == 0 || Int(transaction) & 1 == page
    else {
      throw damaged(
        "transaction: expected \(page == 0 ? "an even" : "an odd") number, found \(transaction)")
    }
    self.transaction = Int(transaction)
    let lastPage = bytes.uint64(at: 136)
    guard lastPage >= 1 && lastPage < UInt64(Int.max / PageFormat.pageBytesRange.upperBound) else {
      throw damaged("last page: found \(lastPage)")
    }
    self.lastPage = Int(lastPage)
  }

  private func checkTrees(in file: DataFile) throws(LMDBError) {
    // The size is read after the meta page: all pages that a commit needs are in the file before.
    let fileBytes = try file.byteCount()
    let number = transaction & 1
    func damaged(_ reason: String) -> LMDBError {
      .damagedPage(page: number, table: nil, reason: reason)
    }
    // Pages that were taken and freed in one transaction were never written, so the file may end
    // before the last page. But each of them is in the list of free pages, which takes 8 bytes of
    // the file.
    let pagesMax = fileBytes / pageBytes + fileBytes / 8
    guard lastPage < pagesMax else {
      throw damaged(
        "last page: expected less than \(pagesMax) in a file of \(fileBytes) bytes, "
          + "found \(lastPage)")
    }
    try free.check(lastPage: lastPage, "the free pages' tree", damaged)
    try main.check(lastPage: lastPage, "the main tree", damaged)
  }
}

extension TreeRecord {
  /// Checks the fields that can be checked without the tree's pages.
  func check(
    lastPage: Int, _ name: String, _ damaged: (String) -> LMDBError
  ) throws(LMDBError) {
    if let root {
      guard root >= UInt64(PageFormat.metaPages) && root <= UInt64(lastPage) else {
        throw damaged("root of \(name): expected a page up to \(lastPage), found \(root)")
      }
      guard (1...PageFormat.depthMax).contains(depth) else {
        throw damaged(
          "depth of \(name): expected 1 to \(PageFormat.depthMax), found \(depth)")
      }
    } else {
      guard depth == 0, branchPages == 0, leafPages == 0, overflowPages == 0, entries == 0 else {
        throw damaged("\(name) has no root, but a depth, pages or entries")
      }
    }
  }
}
