import CLMDB
import Files
import Glibc
import SystemPackage

/// Unused bytes become zeros, and unused pages holes. The caller keeps writers away meanwhile.
extension DataFile {
  /// The number of pages that are overwritten between two calls of `isCancelled`.
  private static let overwritePages = 1 << 10

  /// Overwrites unused bytes with zeros, and those after the last page; then syncs, and turns long
  /// runs of pages into holes.
  ///
  /// - Returns: False if it was cancelled before all was overwritten; nothing is synced then.
  func overwrite(
    _ unused: UnusedBytes, lastPage: Int, pageBytes: Int, runPagesMin: Int,
    _ isCancelled: () -> Bool
  ) throws(LMDBError) -> Bool {
    let (buffer, zeros) = (PageBuffer(byteCount: 1 << 16), PageBuffer(byteCount: 1 << 16))
    // Pages that the last transaction freed are overwritten too, although LMDB would spare them:
    // its meta page is on the disk, written synchronously, so the state before it cannot come back.
    let runs = unused.pages.runs
    for run in runs {
      for start in stride(from: run.lowerBound, to: run.upperBound, by: Self.overwritePages) {
        if isCancelled() { return false }
        let end = min(start + Self.overwritePages, run.upperBound)
        try overwrite((start * pageBytes)..<(end * pageBytes), buffer, zeros)
      }
    }
    // Gaps are in pages that are in use, perhaps by readers at this moment. No reader reads a gap,
    // and the rest of the page is not written, so this is safe in a crash and beside readers.
    for gap in unused.gaps {
      if isCancelled() { return false }
      try overwrite(gap, buffer, zeros)
    }
    let end = try byteCount()
    let used = (lastPage + 1) * pageBytes
    if used < end { try overwrite(used..<end, buffer, zeros) }
    do { try descriptor.syncData() } catch { throw .inputOutput }
    try punchHoles(runs, pageBytes: pageBytes, runPagesMin: runPagesMin, isCancelled)
    return true
  }

  /// Turns runs of pages into holes, and returns their bytes.
  ///
  /// - Parameter runPagesMin: The length of the shortest run that becomes a hole, in pages.
  @discardableResult
  func punchHoles(
    _ runs: [Range<Int>], pageBytes: Int, runPagesMin: Int, _ isCancelled: () -> Bool
  ) throws(LMDBError) -> Int {
    var released = 0
    for run in runs where run.count >= runPagesMin {
      if isCancelled() { break }
      let bytes = run.count * pageBytes
      if clmdb_punch_hole(descriptor.rawValue, run.lowerBound * pageBytes, bytes) != 0 {
        if errno == EOPNOTSUPP || errno == ENOSYS { return 0 }
        throw .inputOutput
      }
      released += bytes
    }
    return released
  }
}
