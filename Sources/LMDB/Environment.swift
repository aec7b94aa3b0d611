import CLMDB
import Concurrency
import Files
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
  /// The identity of the lock file; nil if there is none.
  private let lockFile: FileIdentity?

  /// The files that are open in this process.
  private static let open = Locked(Set<FileIdentity>(), rank: .release)
  /// True while this one is open. The lock is held while LMDB or the kernel is asked about the
  /// file, so that it is not closed in the meantime.
  let isOpen = Locked(true, rank: .release)

  /// The settings of opening an environment.
  public struct Options: Sendable {
    /// The size of the map in bytes, which is the most that the file can grow to.
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
      let fileBytes = try MetaPage.check(
        dataPath, mayBeMissing: flags & UInt32(MDB_RDONLY) == 0)
      if flags == 0 { try LockFile.allocate("\(path)/lock.mdb", options.fileMode) }
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
        flags & UInt32(MDB_NOLOCK) == 0 ? FileIdentity(of: "\(path)/lock.mdb") : nil
      unsafe self.handle = created
      self.identity = identity
    } catch {
      if let handle = unsafe handle { unsafe mdb_env_close(handle) }
      Self.open.withLock { _ = $0.remove(identity) }
      throw error
    }
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
    return FileIdentity(of: "\(directory)/data.mdb") == file
      && (lockFile == nil || FileIdentity(of: "\(directory)/lock.mdb") == lockFile)
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
}
