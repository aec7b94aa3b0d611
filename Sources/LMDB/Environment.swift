import CLMDB
import Foundation
import Glibc

/// One LMDB file, mapped into memory.
///
/// Readers never block and never see a half-made change; there is one writer at a time, and what
/// it commits is on disk when `commit` returns. Values are read where they lie in the map.
///
/// Caveats that are LMDB's own: an old read transaction keeps every page that was freed since from
/// being used again, so none should live long; the file never shrinks; and one environment must not
/// be opened twice in a process, because closing one would drop the other's file locks. The last is
/// checked here.
///
/// LMDB trusts the pages of its file. Opening checks the meta pages, so that any bytes can be opened;
/// before a file of doubtful origin is read or written, `checkPages` must pass.
///
/// Transactions keep their environment alive, and it closes when the last reference goes, or by
/// `close`.
@safe
public final class Environment: @unchecked Sendable {
  // @unchecked Sendable: an MDB_env may be used from any thread; `handle` never changes, writers are
  // serialised by LMDB's own lock, and `isClosed` is guarded by `lock`.
  let handle: OpaquePointer
  private let identity: FileIdentity
  /// nil where there is none.
  private let lockFile: FileIdentity?

  public struct Options: Sendable {
    /// Address space for the map, the most that the file can grow to.
    public var mapBytes: Int
    /// Named databases that may be open at once.
    public var databasesMax: Int
    /// Read transactions that may be open at once, over all processes.
    public var readersMax: Int
    /// Permission bits of files that are made.
    public var fileMode: UInt32
    /// Whether transactions may only read. Another process may then have the environment open and
    /// write; its lock file is used, and must be writable. A read transaction that begins after the
    /// file has outgrown `mapBytes` throws, so this is best what the writer has.
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
    let device: UInt64
    let inode: UInt64

    init(_ status: stat) {
      device = UInt64(status.st_dev)
      inode = UInt64(status.st_ino)
    }
  }

  /// nil where nothing is there.
  private static func identity(of path: String) -> FileIdentity? {
    var status = stat()
    return unsafe stat(path, &status) == 0 ? FileIdentity(status) : nil
  }

  /// Whether the data file was removed while it is open: what is written to it is lost when it is
  /// closed.
  ///
  /// - Complexity: One fstat(2), some 0.3 µs.
  public var isRemoved: Bool {
    var status = stat()
    return unsafe fstat(dataFile.descriptor, &status) == 0 && status.st_nlink == 0
  }

  /// Whether the files that are open are those that a directory holds now: not where one of them was
  /// removed, renamed or replaced, or the directory was.
  ///
  /// - Complexity: Three stat(2).
  public func isInPlace(in directory: String) -> Bool {
    var status = stat()
    // What cannot be told is taken for sound.
    guard unsafe fstat(dataFile.descriptor, &status) == 0 else { return true }
    return Self.identity(of: "\(directory)/data.mdb") == FileIdentity(status)
      && (lockFile == nil || Self.identity(of: "\(directory)/lock.mdb") == lockFile)
  }

  /// Guards `open` and each environment's `isClosed`. (An NSLock because thread sanitizer sees it; it
  /// takes the standard library's Mutex for none.)
  private static let lock = NSLock()
  // SAFETY: guarded by `lock`.
  private nonisolated(unsafe) static var open: Set<FileIdentity> = []
  private var isClosed = false

  /// Opens or makes the environment in an existing directory, and frees the reader slots of
  /// processes that died.
  ///
  /// - Throws: `damagedPage` where LMDB could not have left such meta pages, `inaccessible`,
  ///   `alreadyOpen`.
  public convenience init(directory path: String, options: Options) throws(LMDBError) {
    try self.init(
      path, dataPath: "\(path)/data.mdb", options,
      flags: options.isReadOnly ? UInt32(MDB_RDONLY) : 0)
  }

  /// Opens a single file for reading, such as `copyCompacted` wrote. Nobody may write to it
  /// meanwhile: there is no lock file. Other bytes may follow LMDB's last page.
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
    var status = stat()
    guard unsafe stat(path, &status) == 0 else {
      throw .inaccessible(path: path, errno: errno)
    }
    let identity = FileIdentity(status)
    guard Self.lock.withLock({ unsafe Self.open.insert(identity).inserted }) else {
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
      _ = Self.lock.withLock { unsafe Self.open.remove(identity) }
      throw error
    }
  }

  /// Gives the lock file its blocks. LMDB makes it with ftruncate, and writes to it through a map: on a
  /// full disk that would end the process by SIGBUS.
  ///
  /// - Throws: `diskFull`.
  private static func allocateLockFile(_ path: String, _ mode: UInt32) throws(LMDBError) {
    let descriptor = unsafe Glibc.open(path, O_RDWR | O_CREAT | O_CLOEXEC, mode_t(mode))
    if descriptor < 0 { throw .inaccessible(path: path, errno: errno) }
    // Closing would let go of this process's locks on the file; it has none yet.
    defer { _ = Glibc.close(descriptor) }
    // The file keeps its size, which tells LMDB how many readers there may be.
    if clmdb_allocate(descriptor, lockFileBytes) != 0 {
      // Where a file system cannot, there is nothing more to do.
      if errno == EOPNOTSUPP || errno == ENOSYS { return }
      throw LMDBError(errno)
    }
  }

  /// More than LMDB needs for 126 readers.
  private static let lockFileBytes = 3 * 4096

  /// Refuses a data file whose meta pages LMDB must not see: it would divide by their page size and
  /// map what they say.
  ///
  /// - Returns: Bytes of the file, 0 for one that LMDB is going to make.
  private static func checkMetaPages(_ path: String, mayBeMissing: Bool) throws(LMDBError) -> Int {
    let descriptor = unsafe Glibc.open(path, O_RDONLY | O_CLOEXEC)
    if descriptor < 0 {
      if errno == ENOENT && mayBeMissing { return 0 }
      throw .inaccessible(path: path, errno: errno)
    }
    // No lock is lost: LMDB's are on the lock file.
    defer { _ = Glibc.close(descriptor) }
    let file = DataFile(descriptor: descriptor)
    let fileBytes = try file.byteCount()
    if fileBytes == 0 && mayBeMissing { return 0 }
    _ = try MetaPage.newest(in: file)
    return fileBytes
  }

  /// The data file, for as long as the environment is open.
  var dataFile: DataFile {
    var descriptor: mdb_filehandle_t = 0
    // SAFETY: it cannot fail on an open environment.
    unsafe mdb_env_get_fd(handle, &descriptor)
    return DataFile(descriptor: descriptor)
  }

  /// Bytes of a page.
  var pageBytes: Int {
    var statistics = MDB_stat()
    // SAFETY: it fills in the struct, and cannot fail on an open environment.
    unsafe mdb_env_stat(handle, &statistics)
    return Int(statistics.ms_psize)
  }

  deinit { close() }

  /// Closes the file now, so that it can be opened again. Beginning a transaction afterwards throws.
  ///
  /// - Precondition: no transaction is open. (Whoever closes early has to know; `deinit` knows,
  ///   because transactions keep their environment alive.)
  public func close() {
    Self.lock.withLock {
      if isClosed { return }
      isClosed = true
      unsafe mdb_env_close(handle)
      unsafe Self.open.remove(identity)
    }
  }

  func checkOpen() throws(LMDBError) {
    if Self.lock.withLock({ isClosed }) {
      throw .other(code: EINVAL, message: "the environment is closed")
    }
  }

  public struct Usage: Equatable, Sendable {
    public var mapBytes: Int
    /// Bytes up to the last page that was ever used: how far the map is filled.
    public var usedBytes: Int
    /// Bytes that the file takes on the disk.
    public var diskBytes: Int
    /// The newest transaction that was committed.
    public var lastTransaction: Int
    /// How many transactions have been committed since the oldest that is being read. What they
    /// freed cannot be used again yet.
    public var transactionsPinned: Int
    /// Largest key, in bytes.
    public var keyBytesMax: Int
  }

  public func usage() -> Usage {
    var information = unsafe MDB_envinfo()
    var statistics = MDB_stat()
    // SAFETY: both fill in the struct they are given, and cannot fail on an open environment.
    unsafe mdb_env_info(handle, &information)
    unsafe mdb_env_stat(handle, &statistics)
    var descriptor: mdb_filehandle_t = 0
    var status = stat()
    unsafe mdb_env_get_fd(handle, &descriptor)
    unsafe fstat(descriptor, &status)
    let last = unsafe information.me_last_txnid
    return Usage(
      mapBytes: unsafe information.me_mapsize,
      usedBytes: unsafe (information.me_last_pgno + 1) * Int(statistics.ms_psize),
      diskBytes: Int(status.st_blocks) * 512,
      lastTransaction: last,
      transactionsPinned: max(0, last - min(last, oldestRead())),
      keyBytesMax: Int(unsafe mdb_env_get_maxkeysize(handle)))
  }
}
