import CLMDB
import Glibc

/// LMDB keeps the pages of what was deleted for later use, so a file that was merged once is half
/// free pages. They stay LMDB's here, as holes in the file, which read as zeros and take their place
/// again when they are written.
extension Environment {
  /// Shorter runs of free pages are not made holes, because they are soon used again.
  public static let holePagesMin = 16

  /// Gives back to the file system what runs of free pages take on the disk and in the page cache.
  ///
  /// Only pages that LMDB itself would use for the next write are given back: those that were freed
  /// before the last commit and before any transaction that is being read. So what the last commit
  /// has just freed takes another commit.
  ///
  /// Waits for the writer, and holds it up for about a microsecond a page.
  ///
  /// - Parameters:
  ///   - runPagesMin: Shorter runs are left.
  ///   - isCancelled: Is asked at each run; what is left then is given back another time.
  /// - Returns: Bytes in the runs, those among them that were holes before included. 0 where the file
  ///   system knows no holes.
  @discardableResult
  public func releaseFreePages(
    runPagesMin: Int = Environment.holePagesMin, isCancelled: () -> Bool = { false }
  ) throws(LMDBError) -> Int {
    try freeSlotsOfDeadProcesses()
    // Holds writers off, so that no free page is being used again.
    let writing = try WriteTransaction(self)
    let reading = try ReadTransaction(self)
    let runs = try freePages(reading).runs
    let released = try punchHoles(runs, runPagesMin: runPagesMin, isCancelled)
    _ = consume writing
    return released
  }

  /// Overwrites with zeros every byte of the file that is no live data, so that what was deleted can
  /// be read nowhere in it: the pages that LMDB keeps for later use, those past the last one and
  /// those that it lost, and in the pages that are in use what lies between their nodes, behind their
  /// values and in room for numbers of free pages. There LMDB leaves what it moved or replaced, and
  /// what else its buffers held before. Then syncs, and makes long runs of free pages holes.
  ///
  /// The caller commits what it deletes before. What stays: keys that were deleted may go on as
  /// separators in branch pages. And LMDB's buffers of this environment may hold deleted bytes still,
  /// which a later commit may write into gaps again; where that matters, the environment is closed
  /// and opened anew after the commit and before this call.
  ///
  /// A crash at any moment does no harm: no byte that means something is written to, in the state
  /// of the last transaction. File systems that write copies (Btrfs, ZFS), and disks that spread
  /// wear, may keep old blocks out of reach.
  ///
  /// Waits for the writer and holds it up. The structure is checked first; on a damaged file nothing
  /// is written.
  ///
  /// - Parameter isCancelled: Is asked every few milliseconds, but for the check of the structure.
  /// - Returns: Whether everything was overwritten: false while a read transaction is open that began
  ///   before the last commit and pages are kept for it, and where it was cancelled.
  /// - Throws: `damagedPage`, `inputOutput`, `diskFull`.
  /// - Complexity: O(pages of the file that are no holes) reads; writes what is not zero.
  @discardableResult
  public func overwriteUnused(
    isCancelled: () -> Bool = { false }
  ) throws(LMDBError) -> Bool {
    try freeSlotsOfDeadProcesses()
    // Holds writers off, so that no free page is being used again.
    let writing = try WriteTransaction(self)
    let reading = try ReadTransaction(self)
    let (file, pageBytes) = (dataFile, pageBytes)
    let meta = try MetaPage.of(
      transaction: reading.transactionID, in: file, pageBytes: pageBytes)
    guard let meta else { throw .damaged }
    var check = try PageCheck(file, meta, collectingUnused: oldestRead())
    try check.run()
    guard let unused = check.unused else { throw .damaged }

    let (buffer, zeros) = (PageBuffer(byteCount: 1 << 16), PageBuffer(byteCount: 1 << 16))
    // What the last transaction freed is overwritten too, though LMDB would spare it: its meta page
    // is on the disk, written synchronously, so nothing goes back to the state before.
    let runs = unused.pages.runs
    for run in runs {
      for start in stride(from: run.lowerBound, to: run.upperBound, by: Self.overwritePages) {
        if isCancelled() { return false }
        let end = min(start + Self.overwritePages, run.upperBound)
        try file.overwrite((start * pageBytes)..<(end * pageBytes), buffer, zeros)
      }
    }
    // Gaps are in pages that are in use, perhaps by readers at this moment. Nobody reads a gap, and
    // the rest of the page is not written, so this is as safe in a crash as it is beside readers.
    for gap in unused.gaps {
      if isCancelled() { return false }
      try file.overwrite(gap, buffer, zeros)
    }
    let end = try file.byteCount()
    let used = (meta.lastPage + 1) * pageBytes
    if used < end { try file.overwrite(used..<end, buffer, zeros) }
    guard fdatasync(file.descriptor) == 0 else { throw .inputOutput }
    try punchHoles(runs, runPagesMin: Self.holePagesMin, isCancelled)
    _ = consume writing
    return unused.pinnedPages == 0
  }

  /// Pages that are overwritten between two looks at whether that is still wanted.
  private static let overwritePages = 1 << 10

  /// Makes holes of runs of pages, and returns their bytes.
  @discardableResult
  private func punchHoles(
    _ runs: [Range<Int>], runPagesMin: Int, _ isCancelled: () -> Bool
  ) throws(LMDBError) -> Int {
    let (file, pageBytes) = (dataFile, pageBytes)
    var released = 0
    for run in runs where run.count >= runPagesMin {
      if isCancelled() { break }
      let bytes = run.count * pageBytes
      if clmdb_punch_hole(file.descriptor, run.lowerBound * pageBytes, bytes) != 0 {
        if errno == EOPNOTSUPP || errno == ENOSYS { return 0 }
        throw .inputOutput
      }
      released += bytes
    }
    return released
  }

  /// The pages that nobody can see any more.
  private func freePages(_ transaction: borrowing ReadTransaction) throws(LMDBError) -> PageSet {
    let oldest = oldestRead()
    var pages = PageSet(bound: usage().usedBytes / pageBytes)
    // Table 0 is LMDB's own: transaction → how many pages it freed, and which.
    try transaction.forEach(in: Database(identifier: 0)) { key, value in
      let freedBy = unsafe key.unsafeLoadUnaligned(as: Int.self)
      if freedBy >= oldest { return false }
      let count = unsafe value.unsafeLoadUnaligned(as: Int.self)
      // Nothing is given back by a damaged list.
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
