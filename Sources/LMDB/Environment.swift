import CLMDB
import Concurrency
import Files
import Foundation
import Glibc
import SystemPackage

/// One LMDB file, mapped into memory.
///
/// Readers never block and never see an incomplete change; there is one writer at a time, and its
/// changes are on disk when `commit` returns. Values are read in the map, without copying them.
///
/// Three caveats come from LMDB: an old read transaction prevents the reuse of every page that was
/// freed after it began, so no read transaction should live long; the file never shrinks; and one
/// environment must not be opened twice in a process, because closing one would release the other's
/// file locks. The last is checked here.
///
/// LMDB trusts the pages of its file. Opening checks the meta pages, so that any file can be opened
/// safely; before a file of doubtful origin is read or written, `checkPages` must pass.
///
/// Transactions keep their environment alive. It closes when the last reference is released, or by
/// `close`.
@safe
public final class Environment: @unchecked Sendable {
  // Unchecked: an MDB_env may be used from any thread; `handle` never changes, writers are
  // serialised by LMDB's own lock, and `isOpen` is a lock of its own.
  let handle: OpaquePointer
  private let identity: FileIdentity
  /// nil if there is no lock file.
  private let lockFile: FileIdentity?

  /// The settings of opening an environment.
  public struct Options: Sendable {
    /// The size of the map in bytes, which is the most that the file can grow to.
    /// Size of the map in bytes.
    public var mapBytes: Int
    /// The number of named databases that may be open at once.
    public var databasesMax: Int
    /// The number of read transactions that may be open at once, over all processes.
    public var readersMax: Int
    /// Permission bits of new files.
    public var fileMode: UInt32
    /// True if transactions may only read. Another process may then have the environment open and
    /// write; its lock file is used, and must be writable. A read transaction that begins after the
    /// file has outgrown `mapBytes` throws, so this should equal the writer's `mapBytes`.
    public var isReadOnly: Bool

    public init(
      mapBytes: Int, databasesMax: Int = 8, readersMax: Int = 126, fileMode: UInt32 = 0o600,
      isReadOnly: Bool = false
    ) {
      self.mapBytes = mapBytes
      self.databasesMax = databasesMax
      self.readersMax = readersMax
      self.fileMode = fileMode
      self.isReadOnly = isReadOnly
    }
  }

  private struct FileIdentity: Hashable {
    let device: DeviceID
    let inode: Inode

    init(_ status: Stat) {
      device = status.deviceID
      inode = status.inode
    }
  }

  /// nil if the path does not exist.
  private static func identity(of path: String) -> FileIdentity? {
    (try? Files.status(path)).map { FileIdentity($0) }
  }

  /// True if the data file was removed while it is open: everything written to it is lost when it
  /// is closed.
  ///
  /// - Complexity: One fstat(2), some 0.3 µs.
  public var isRemoved: Bool {
    isOpen.withLock { isOpen in
      isOpen && (try? dataFile.descriptor.stat())?.linkCount == 0
    }
  }

  /// True if the open files are those that a directory holds now; false if one of them, or the
  /// directory, was removed, renamed or replaced.
  ///
  /// - Complexity: Three stat(2).
  public func isInPlace(in directory: String) -> Bool {
    let file: FileIdentity? = isOpen.withLock { isOpen in
      guard isOpen, let status = try? dataFile.descriptor.stat() else { return nil }
      return FileIdentity(status)
    }
    // If the state is unknown, it counts as sound.
    guard let file else { return true }
    return Self.identity(of: "\(directory)/data.mdb") == file
      && (lockFile == nil || Self.identity(of: "\(directory)/lock.mdb") == lockFile)
  }

  /// The files that are open in this process.
  private static let open = Locked(Set<FileIdentity>(), rank: .release)
  /// True while this one is open. The lock is held while LMDB or the kernel is asked about the file, so
  /// that it is not closed in the meantime.
  let isOpen = Locked(true, rank: .release)

  /// Opens or creates the environment in an existing directory, and frees the reader slots of
  /// processes that died.
  ///
  /// - Throws: `damagedPage` if LMDB could not have left these meta pages, `inaccessible`,
  ///   `alreadyOpen`.
  public convenience init(directory path: String, options: Options) throws(LMDBError) {
    try self.init(
      path, dataPath: "\(path)/data.mdb", options,
      flags: options.isReadOnly ? UInt32(MDB_RDONLY) : 0)
  }

  /// Opens a single file for reading, for example one that `copyCompacted` wrote. No process may
  /// write to it in the meantime: there is no lock file. Other bytes may follow LMDB's last page.
  ///
  /// The map is made as large as the file, if `mapBytes` is less.
  ///
  /// - Throws: As `init(directory:options:)`.
  public convenience init(readingFile path: String, options: Options) throws(LMDBError) {
    try self.init(
      path, dataPath: path, options, flags: UInt32(MDB_RDONLY | MDB_NOSUBDIR | MDB_NOLOCK))
  }

  private init(_ path: String, dataPath: String, _ options: Options, flags: UInt32)
    throws(LMDBError)
  {
    let identity: FileIdentity
    do { identity = FileIdentity(try Files.status(path)) } catch {
      throw .inaccessible(path: path, errno: error.rawValue)
    }
    guard Self.open.withLock({ $0.insert(identity).inserted }) else {
      throw .alreadyOpen(path: path)
    }
    var handle: OpaquePointer?
    do throws(LMDBError) {
      let fileBytes = try Self.checkMetaPages(
        dataPath, mayBeMissing: flags & UInt32(MDB_RDONLY) == 0)
      if flags == 0 { try Self.allocateLockFile("\(path)/lock.mdb", options.fileMode) }
      try check(unsafe mdb_env_create(&handle))
      guard let created = unsafe handle else { throw .other(code: ENOMEM, message: "no handle") }
      try check(unsafe mdb_env_set_mapsize(created, max(options.mapBytes, fileBytes)))
      try check(unsafe mdb_env_set_maxdbs(created, UInt32(options.databasesMax)))
      try check(unsafe mdb_env_set_maxreaders(created, UInt32(options.readersMax)))
      // NOTLS: a reader slot belongs to its transaction, not to a thread. NORDAHEAD: queries touch
      // pages at random, and the map may be larger than memory.
      let code = unsafe mdb_env_open(
        created, path, UInt32(MDB_NOTLS | MDB_NORDAHEAD) | flags, mode_t(options.fileMode))
      if [ENOENT, EACCES, EPERM, EROFS, ENOTDIR, EISDIR].contains(code) {
        throw .inaccessible(path: path, errno: code)
      }
      try check(code)
      try check(unsafe mdb_reader_check(created, nil))
      lockFile =
        flags & UInt32(MDB_NOLOCK) == 0 ? Self.identity(of: "\(path)/lock.mdb") : nil
      unsafe self.handle = created
      self.identity = identity
    } catch {
      if let handle = unsafe handle { unsafe mdb_env_close(handle) }
      Self.open.withLock { _ = $0.remove(identity) }
      throw error
    }
  }

  /// Allocates the lock file's blocks. LMDB creates it with ftruncate, and writes to it through a
  /// map: on a full disk that would end the process by SIGBUS.
  ///
  /// - Throws: `diskFull`.
  private static func allocateLockFile(_ path: String, _ mode: UInt32) throws(LMDBError) {
    let descriptor: FileDescriptor
    do {
      descriptor = try .opened(
        path, .readWrite, .create, permissions: FilePermissions(rawValue: mode))
    } catch {
      throw .inaccessible(path: path, errno: error.rawValue)
    }
    // Closing would release this process's locks on the file; it has none yet.
    defer { try? descriptor.close() }
    // The file keeps its size, from which LMDB reads the number of readers.
    if clmdb_allocate(descriptor.rawValue, lockFileBytes) != 0 {
      // A file system without allocation offers nothing else.
      if errno == EOPNOTSUPP || errno == ENOSYS { return }
      throw LMDBError(errno)
    }
  }

  /// More than LMDB needs for 126 readers.
  private static let lockFileBytes = 3 * 4096

  /// Refuses a data file whose meta pages are unsafe for LMDB, which would divide by their page
  /// size and map the sizes that they contain.
  ///
  /// - Returns: The size of the file in bytes; 0 for a file that LMDB will create.
  private static func checkMetaPages(_ path: String, mayBeMissing: Bool) throws(LMDBError) -> Int {
    let file: DataFile
    do { file = DataFile(descriptor: try .opened(path, .readOnly)) } catch {
      if error == .noSuchFileOrDirectory && mayBeMissing { return 0 }
      throw .inaccessible(path: path, errno: error.rawValue)
    }
    // Closing releases no lock: LMDB's locks are on the lock file.
    defer { try? file.descriptor.close() }
    let fileBytes = try file.byteCount()
    if fileBytes == 0 && mayBeMissing { return 0 }
    _ = try MetaPage.newest(in: file)
    return fileBytes
  }

  /// The data file; valid as long as the environment is open.
  var dataFile: DataFile {
    var descriptor: mdb_filehandle_t = 0
    // SAFETY: it cannot fail on an open environment.
    unsafe mdb_env_get_fd(handle, &descriptor)
    return DataFile(descriptor: FileDescriptor(rawValue: descriptor))
  }

  /// Bytes of a page.
  var pageBytes: Int {
    var statistics = MDB_stat()
    // SAFETY: it fills in the struct, and cannot fail on an open environment.
    unsafe mdb_env_stat(handle, &statistics)
    return Int(statistics.ms_psize)
  }

  deinit { close() }

  /// Closes the file now, so that it can be opened again. Beginning a transaction afterwards
  /// throws.
  ///
  /// - Precondition: no transaction is open. (A caller of `close` must ensure it; for `deinit` it
  ///   holds, because transactions keep their environment alive.)
  public func close() {
    let wasOpen = isOpen.withLock { isOpen in
      defer { isOpen = false }
      if isOpen { unsafe mdb_env_close(handle) }
      return isOpen
    }
    // Only now may the file be opened again.
    if wasOpen { Self.open.withLock { _ = $0.remove(identity) } }
  }

  func checkOpen() throws(LMDBError) {
    if !isOpen.withLock({ $0 }) {
      throw .other(code: EINVAL, message: "the environment is closed")
    }
  }

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

  /// How the file is used; zeros once the environment is closed.
  ///
  /// - Complexity: Some system calls, and a line of text for each reader.
  /// The current use of the map and of transaction numbers. Reads no pages.
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
