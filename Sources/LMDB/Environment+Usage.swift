import CLMDB
import Concurrency
import SystemPackage

extension Environment {
  /// The use of the map and of transaction numbers at one moment.
  public struct Usage: Equatable, Sendable {
    public var mapBytes = 0
    /// Bytes up to the last page that was ever used: the used part of the map.
    public var usedBytes = 0
    /// Bytes that the file takes on the disk.
    public var diskBytes = 0
    /// The newest transaction that was committed.
    public var lastTransaction = 0
    /// The number of transactions committed since the oldest one that is being read. Pages that
    /// they freed cannot be used again yet.
    public var transactionsPinned = 0
    /// Largest key, in bytes.
    public var keyBytesMax = 0
  }

  /// The current use of the map and of transaction numbers; zeros once the environment is closed.
  ///
  /// - Complexity: Some system calls, and a line of text for each reader. Reads no pages.
  public func usage() -> Usage {
    isOpen.withLock { isOpen in isOpen ? usageWhileOpen() : Usage() }
  }

  private func usageWhileOpen() -> Usage {
    var information = unsafe MDB_envinfo()
    var statistics = MDB_stat()
    // SAFETY: both fill in the struct they are given, and cannot fail on an open environment.
    unsafe mdb_env_info(handle, &information)
    unsafe mdb_env_stat(handle, &statistics)
    let status = try? dataFile.descriptor.stat()
    let last = unsafe information.me_last_txnid
    return Usage(
      mapBytes: unsafe information.me_mapsize,
      usedBytes: unsafe (information.me_last_pgno + 1) * Int(statistics.ms_psize),
      diskBytes: Int(status?.sizeAllocated ?? 0),
      lastTransaction: last,
      transactionsPinned: max(0, last - min(last, oldestRead())),
      keyBytesMax: Int(unsafe mdb_env_get_maxkeysize(handle)))
  }
}
