import CLMDB

extension Environment {
  /// Overwrites the buffers that LMDB keeps from one write transaction to the next.
  ///
  /// The buffers hold pages as they were when they were last written, and LMDB writes the parts
  /// that a later transaction does not fill to the disk unchanged. Deleted bytes could therefore
  /// come back in the gap of some page. This method fills as many pages with zeros as LMDB is
  /// likely to have buffers, in a transaction that is then aborted: none of them reaches the file.
  ///
  /// - Parameter database: Any database; it stays unchanged.
  /// - Complexity: Some 10 ms, for any file. Waits for the writer and blocks it meanwhile.
  public func overwriteBuffers(using database: Database) throws(LMDBError) {
    // A value of this size fills a page of its own to the last byte.
    let zeros = [UInt8](repeating: 0, count: pageBytes - 16)
    // Twice: the few buffers that hold the tree of the first pass hold zeros in the second.
    for _ in 0..<2 {
      let transaction = try WriteTransaction(self)
      do throws(LMDBError) {
        for page in 0..<Self.buffersMax {
          try transaction.put(Key(.max, UInt32(page)), unsafe zeros.span.bytes, in: database)
        }
      } catch {
        // The map has room for no more. Then no more buffers can have been used either.
        if error != .mapFull { throw error }
      }
      // Aborts here.
      _ = consume transaction
    }
  }

  /// More pages than any transaction of this product writes, apart from those of large values.
  private static let buffersMax = 8192
}
