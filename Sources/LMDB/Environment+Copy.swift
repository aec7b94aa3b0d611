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

  /// Writes a copy of the last transaction's state, without free pages, to a file or a pipe,
  /// starting at the descriptor's offset. `init(readingFile:options:)` opens the copy;
  /// `init(directory:options:)` opens a directory that holds it under the name `data.mdb`.
  ///
  /// Others may read and write in the meantime; pages that they free become available when the copy
  /// ends. The copy is not synced to the disk, and its gaps may hold bytes of its other pages.
  ///
  /// - Throws: The error of writing. LMDB also refuses, at the end, a file that has lost pages
  ///   (`PageCounts.leakedPages`), with code `MDB_INCOMPATIBLE`. The bytes written by then are not
  ///   a copy.
  /// - Complexity: O(pages in use). Reads them all, on the calling thread, which blocks.
  public func copyCompacted(to descriptor: Int32) throws(LMDBError) {
    try checkOpen()
    let code = unsafe mdb_env_copyfd2(handle, descriptor, UInt32(MDB_CP_COMPACT))
    if code == MDB_INCOMPATIBLE {
      throw .other(code: code, message: "pages are neither in use nor free; nothing was copied")
    }
    try check(code)
  }
}
