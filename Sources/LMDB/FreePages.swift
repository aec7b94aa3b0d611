import CLMDB
import Glibc

extension Environment {
  /// Gives back to the file system what runs of free pages take on the disk and in the page cache.
  ///
  /// LMDB keeps the pages of what was deleted for later use, so a file that was merged once is half
  /// free pages. They stay LMDB's here, as holes in the file, which read as zeros and take their
  /// place again when they are written.
  ///
  /// Only pages that LMDB itself would use for the next write are given back: those that were freed
  /// before the last commit and before any transaction that is being read. So what the last commit
  /// has just freed takes another commit.
  ///
  /// Waits for the writer, and holds it up for about a microsecond a page.
  ///
  /// - Parameter runPagesMin: Shorter runs are left, because they are soon used again.
  /// - Returns: Bytes in the runs, those among them that were holes before included. 0 where the file
  ///   system knows no holes.
  @discardableResult
  public func releaseFreePages(runPagesMin: Int = 16) throws(LMDBError) -> Int {
    // Holds writers off, so that no free page is being used again.
    let writing = try WriteTransaction(self)
    let released = try punchFreeRuns(runPagesMin: runPagesMin)
    _ = consume writing
    return released
  }

  private func punchFreeRuns(runPagesMin: Int) throws(LMDBError) -> Int {
    let reading = try ReadTransaction(self)
    var pages = try freePages(reading)
    pages.sort()

    var statistics = MDB_stat()
    var descriptor: mdb_filehandle_t = 0
    // SAFETY: neither can fail on an open environment.
    unsafe mdb_env_stat(handle, &statistics)
    unsafe mdb_env_get_fd(handle, &descriptor)
    let pageBytes = Int(statistics.ms_psize)
    var released = 0
    var first = 0
    while first < pages.count {
      var end = first + 1
      while end < pages.count && pages[end] == pages[end - 1] + 1 { end += 1 }
      if end - first >= runPagesMin {
        let bytes = (end - first) * pageBytes
        if clmdb_punch_hole(descriptor, pages[first] * pageBytes, bytes) != 0 {
          if errno == EOPNOTSUPP || errno == ENOSYS { return 0 }
          throw .inputOutput
        }
        released += bytes
      }
      first = end
    }
    return released
  }

  /// The pages that nobody can see any more.
  private func freePages(_ transaction: borrowing ReadTransaction) throws(LMDBError) -> [Int] {
    let oldest = oldestRead()
    var pages: [Int] = []
    // Table 0 is LMDB's own: transaction → how many pages it freed, and which.
    try transaction.forEach(in: Database(identifier: 0)) { key, value in
      let freedBy = unsafe key.unsafeLoadUnaligned(as: UInt.self)
      if freedBy >= oldest { return false }
      let count = unsafe value.unsafeLoadUnaligned(as: Int.self)
      for page in 1...max(1, count) where page <= count {
        pages.append(
          unsafe value.unsafeLoadUnaligned(
            fromByteOffset: page * MemoryLayout<Int>.size, as: Int.self))
      }
      return true
    }
    return pages
  }

  /// The oldest transaction that is being read. The caller has one itself, so there is one.
  private func oldestRead() -> UInt {
    var oldest = UInt.max
    unsafe withUnsafeMutablePointer(to: &oldest) { oldest in
      // Each line is process, thread and transaction; "-" for a slot without a transaction.
      _ = unsafe mdb_reader_list(
        handle,
        { line, context in
          guard let line = unsafe line, let context = unsafe context else { return 0 }
          let words = unsafe String(cString: line).split(whereSeparator: \.isWhitespace)
          if words.count == 3, let transaction = UInt(words[2]) {
            let oldest = unsafe context.assumingMemoryBound(to: UInt.self)
            unsafe oldest.pointee = unsafe min(oldest.pointee, transaction)
          }
          return 0
        }, oldest)
    }
    return oldest
  }
}
