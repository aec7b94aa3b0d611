import CLMDB

extension Environment {
  /// Overwrites the buffers that LMDB keeps from one write transaction to the next.
  ///
  /// They hold pages as they were when they were last written, and what a later transaction does not
  /// fill of one goes to the disk as it is. So bytes that were deleted could come back, in the gap of
  /// some page. This writes as many pages of zeros as LMDB is likely to have buffers, in a
  /// transaction that is given up: nothing of it reaches the file.
  ///
  /// - Parameter database: Any; it stays as it is.
  /// - Complexity: Some 10 ms, whatever the file. Waits for the writer and holds it up.
  public func overwriteBuffers(using database: Database) throws(LMDBError) {
    // Such a value fills a page of its own to the last byte.
    let zeros = [UInt8](repeating: 0, count: pageBytes - 16)
    // Twice: the few buffers that hold the tree of the first pass hold zeros in the second.
    for _ in 0..<2 {
      let transaction = try WriteTransaction(self)
      do throws(LMDBError) {
        for page in 0..<Self.buffersMax {
          try transaction.put(Key(.max, UInt32(page)), unsafe zeros.span.bytes, in: database)
        }
      } catch {
        // As much as there is room for. Fewer buffers can have been used then as well.
        if error != .mapFull { throw error }
      }
      // Given up here.
      _ = consume transaction
    }
  }

  /// More than any transaction of this product writes of pages that are not part of a large value.
  private static let buffersMax = 8192
}
