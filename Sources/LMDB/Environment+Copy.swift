import CLMDB

extension Environment {
  /// Checks every page of the file as the last transaction left it, as
  /// `ReadTransaction.checkingPages(of:)` does.
  @discardableResult
  public func checkPages() throws(LMDBError) -> PageCounts {
    let transaction = try ReadTransaction.checkingPages(of: self)
    guard let counts = transaction.pageCounts else { throw .damaged }
    return counts
  }

  /// Writes a copy of the last transaction's state, without free pages, to a file or a pipe, from
  /// the descriptor's offset on. `init(readingFile:options:)` opens it, and so does a directory where
  /// it is called `data.mdb`.
  ///
  /// Others may read and write meanwhile; what is freed by then waits for the copy to end. The copy
  /// is not synced to the disk, and its gaps may hold bytes of its other pages.
  ///
  /// - Throws: What writing failed with. LMDB also refuses, at the end, a file that has lost pages
  ///   (`PageCounts.leakedPages`), with code `MDB_INCOMPATIBLE`. What was written is then no copy.
  /// - Complexity: O(pages in use). It reads them all, on the calling thread, which blocks.
  public func copyCompacted(to descriptor: Int32) throws(LMDBError) {
    try checkOpen()
    let code = unsafe mdb_env_copyfd2(handle, descriptor, UInt32(MDB_CP_COMPACT))
    if code == MDB_INCOMPATIBLE {
      throw .other(code: code, message: "pages are neither in use nor free; nothing was copied")
    }
    try check(code)
  }
}
