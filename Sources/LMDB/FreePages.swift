/// LMDB keeps the pages of deleted values for later use, so half of a file that was merged once is
/// free pages. Here they become holes in the file. They remain LMDB's: they read as zeros, and take
/// space again when they are written.
extension Environment {
  /// Shorter runs of free pages do not become holes, because they are soon used again.
  public static let holePagesMin = 16

  /// Returns to the file system the space that runs of free pages take on the disk and in the page
  /// cache.
  ///
  /// Only pages that LMDB itself would use for the next write are returned: those that were freed
  /// before the last commit and before any transaction that is being read. Pages that the last
  /// commit has freed therefore need another commit.
  ///
  /// Waits for the writer, and blocks it for about a microsecond a page.
  ///
  /// - Parameters:
  ///   - runPagesMin: The length of the shortest run that is returned, in pages.
  ///   - isCancelled: Called before each run; `true` leaves the rest for a later call.
  /// - Returns: Bytes in the runs, including those that were holes before. 0 if the file system has
  ///   no holes.
  @discardableResult
  public func releaseFreePages(
    runPagesMin: Int = Environment.holePagesMin, isCancelled: () -> Bool = { false }
  ) throws(LMDBError) -> Int {
    try freeSlotsOfDeadProcesses()
    // Blocks writers, so that no free page is being used again.
    let writing = try WriteTransaction(self)
    let reading = try ReadTransaction(self)
    let bound = usage().usedBytes / pageBytes
    let free = try reading.freePages(freedBefore: oldestRead(), bound: bound)
    let released = try dataFile.punchHoles(
      free.runs, pageBytes: pageBytes, runPagesMin: runPagesMin, isCancelled)
    _ = consume writing
    return released
  }

  /// Overwrites with zeros every byte of the file that holds no live data, so that deleted data can
  /// be read nowhere in it: the pages that LMDB keeps for later use, those past the last one and
  /// those that it lost; and in the pages that are in use, the bytes between nodes, behind values
  /// and in the room for numbers of free pages. There LMDB leaves what it moved or replaced, and
  /// older contents of its buffers. Then syncs, and turns long runs of free pages into holes.
  ///
  /// The caller commits its deletions before. Two things remain: deleted keys may still be used as
  /// separators in branch pages. And LMDB's buffers of this environment may still hold deleted
  /// bytes, which a later commit may write into gaps again; where that matters, close the
  /// environment and open it anew after the commit and before this call.
  ///
  /// A crash at any moment does no harm: no byte that has a meaning in the state of the last
  /// transaction is written to. File systems that write copies (Btrfs, ZFS), and disks with wear
  /// levelling, may keep old blocks, which cannot be reached from here.
  ///
  /// Waits for the writer and blocks it. The structure is checked first; nothing is written to a
  /// damaged file.
  ///
  /// - Parameter isCancelled: Called every few milliseconds, except during the check of the
  ///   structure.
  /// - Returns: True if everything was overwritten; false if it was cancelled, or if pages are kept
  ///   for a read transaction that began before the last commit and is still open.
  /// - Throws: `damagedPage`, `inputOutput`, `diskFull`.
  /// - Complexity: O(pages of the file that are not holes) reads; writes only where a byte is not
  ///   zero.
  @discardableResult
  public func overwriteUnused(
    isCancelled: () -> Bool = { false }
  ) throws(LMDBError) -> Bool {
    try freeSlotsOfDeadProcesses()
    // Blocks writers, so that no free page is being used again.
    let writing = try WriteTransaction(self)
    let reading = try ReadTransaction(self)
    let (file, pageBytes) = (dataFile, pageBytes)
    let meta = try MetaPage.of(
      transaction: reading.transactionID, in: file, pageBytes: pageBytes)
    guard let meta else { throw .damaged }
    var check = try PageCheck(file, meta, collectingUnused: oldestRead())
    try check.run()
    guard let unused = check.unused else { throw .damaged }
    let isComplete = try file.overwrite(
      unused, lastPage: meta.lastPage, pageBytes: pageBytes, runPagesMin: Self.holePagesMin,
      isCancelled)
    _ = consume writing
    return isComplete && unused.pinnedPages == 0
  }
}

extension ReadTransaction {
  /// The pages that LMDB keeps for later use and that were freed before a transaction: no transaction
  /// from that one on can see them.
  ///
  /// - Parameter bound: A number larger than those of all pages.
  fileprivate borrowing func freePages(
    freedBefore oldest: Int, bound: Int
  ) throws(LMDBError) -> PageSet {
    var pages = PageSet(bound: bound)
    // Table 0 belongs to LMDB: transaction → number of pages that it freed, and their numbers.
    try forEach(in: Database(identifier: 0)) { key, value in
      let freedBy = unsafe key.unsafeLoadUnaligned(as: Int.self)
      if freedBy >= oldest { return false }
      let count = unsafe value.unsafeLoadUnaligned(as: Int.self)
      // A damaged list releases nothing.
      guard count >= 0 && count < value.byteCount / MemoryLayout<Int>.size else { return false }
      for index in 1...max(1, count) where index <= count {
        let page = unsafe value.unsafeLoadUnaligned(
          fromByteOffset: index * MemoryLayout<Int>.size, as: Int.self)
        if page >= PageFormat.metaPages && page < pages.bound { _ = pages.insert(page) }
      }
      return true
    }
    return pages
  }
}
