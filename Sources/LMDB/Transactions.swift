import CLMDB
import Glibc

/// A named table of keys and values, ordered by the bytes of the keys.
public struct Database: Sendable {
  let identifier: MDB_dbi
}

/// An open transaction's handle, which reading needs. Both kinds of transaction have one.
public protocol Transaction: ~Copyable {
  /// The handle, for this module.
  @unsafe var unsafeHandle: OpaquePointer { get }
}

/// A view of the environment as of the transaction's beginning, unaffected by later commits.
///
/// It may be used on any thread, by one at a time. It ends when it goes out of scope.
@safe
public struct ReadTransaction: ~Copyable, Transaction, @unchecked Sendable {
  // Unchecked: with MDB_NOTLS a read transaction belongs to the holder of the value, and a value
  // that cannot be copied has one holder.
  // Optional so that `commit`, which frees the handle, can leave nothing for `deinit` to abort.
  private var handle: OpaquePointer?
  let environment: Environment

  @unsafe public var unsafeHandle: OpaquePointer {
    guard let handle = unsafe handle else { preconditionFailure("the transaction has ended") }
    return unsafe handle
  }

  /// The use of the file's pages, for a transaction that began with `checkingPages(of:)`.
  public private(set) var pageCounts: PageCounts?

  public init(_ environment: Environment) throws(LMDBError) {
    try environment.checkOpen()
    var handle: OpaquePointer?
    try check(unsafe mdb_txn_begin(environment.handle, nil, UInt32(MDB_RDONLY), &handle))
    guard let begun = unsafe handle else { throw .other(code: ENOMEM, message: "no handle") }
    unsafe self.handle = begun
    self.environment = environment
  }

  /// Begins, and checks every page that the transaction can see before LMDB reads any of them. A
  /// file that passes can be read safely, whatever its origin; `PageCheck` lists the checks.
  ///
  /// Others may read and write in the meantime. The contents of large values are not read.
  ///
  /// - Throws: `damagedPage` for the first fault that is found; `other` with `EAGAIN` if commits
  ///   overtake the transaction a hundred times.
  /// - Complexity: O(pages of trees) page reads, and one of 16 bytes for each large value.
  public static func checkingPages(of environment: Environment) throws(LMDBError)
    -> ReadTransaction
  {
    // The roots are in a meta page that the next transaction but one overwrites. If that happened
    // in between, a later transaction serves as well.
    for _ in 0..<100 {
      var transaction = try ReadTransaction(environment)
      let meta = try MetaPage.of(
        transaction: transaction.transactionID, in: environment.dataFile,
        pageBytes: environment.pageBytes)
      guard let meta else { continue }
      var check = try PageCheck(environment.dataFile, meta)
      try check.run()
      transaction.pageCounts = check.counts
      return transaction
    }
    throw .other(code: EAGAIN, message: "a hundred read transactions were overtaken by commits")
  }

  deinit {
    if let handle = unsafe handle { unsafe mdb_txn_abort(handle) }
  }

  /// Ends the transaction, and keeps the databases that it has opened valid for later transactions.
  /// Databases opened in a transaction that just goes out of scope are invalid after it.
  public consuming func commit() throws(LMDBError) {
    let handle = unsafe unsafeHandle
    unsafe self.handle = nil
    try check(unsafe mdb_txn_commit(handle))
  }
}

/// A set of changes that is applied completely, with `commit`, or not at all.
///
/// It belongs to the thread that began it; a second one waits for the first to end. After an error
/// from `put` or `delete` the transaction can only be ended: `commit` will fail.
@safe
public struct WriteTransaction: ~Copyable, Transaction {
  // Optional so that `commit`, which frees the handle, can leave nothing for `deinit` to abort.
  private var handle: OpaquePointer?
  private let environment: Environment
  private let thread: pthread_t

  @unsafe public var unsafeHandle: OpaquePointer {
    precondition(
      pthread_equal(thread, pthread_self()) != 0,
      "a write transaction belongs to the thread that began it")
    guard let handle = unsafe handle else { preconditionFailure("the transaction has ended") }
    return unsafe handle
  }

  public init(_ environment: Environment) throws(LMDBError) {
    try environment.checkOpen()
    var handle: OpaquePointer?
    try check(unsafe mdb_txn_begin(environment.handle, nil, 0, &handle))
    unsafe self.handle = handle
    self.environment = environment
    thread = pthread_self()
  }

  deinit {
    if let handle = unsafe handle { unsafe mdb_txn_abort(handle) }
  }

  /// Makes the changes durable: they are on disk when this returns.
  ///
  /// - Throws: The reason why nothing was changed: `diskFull`, `inputOutput`, `mapFull` or another.
  public consuming func commit() throws(LMDBError) {
    let handle = unsafe unsafeHandle
    unsafe self.handle = nil
    try check(unsafe mdb_txn_commit(handle))
  }

  /// The named database, which is created if it does not exist.
  public func createDatabase(_ name: String) throws(LMDBError) -> Database {
    var identifier = MDB_dbi()
    try check(unsafe mdb_dbi_open(unsafeHandle, name, UInt32(MDB_CREATE), &identifier))
    return Database(identifier: identifier)
  }

  /// Stores a value. It replaces the key's old value if there is one.
  ///
  /// - Precondition: the key has 1 to 511 bytes.
  /// - Throws: `mapFull` if the map has no room; the transaction can then only be ended.
  public func put(_ key: borrowing Key, _ value: RawSpan, in database: Database) throws(LMDBError) {
    var code = MDB_SUCCESS
    unsafe key.withValue { key in
      unsafe value.withUnsafeBytes { bytes in
        // SAFETY: LMDB copies the value and does not write through the pointer.
        var data = unsafe MDB_val(
          mv_size: bytes.count,
          mv_data: UnsafeMutableRawPointer(mutating: bytes.baseAddress))
        code = unsafe mdb_put(unsafeHandle, database.identifier, &key, &data, 0)
      }
    }
    try check(code)
  }

  /// Removes a key and its value. Returns true if it was there.
  @discardableResult
  public func delete(_ key: borrowing Key, in database: Database) throws(LMDBError) -> Bool {
    var code = MDB_SUCCESS
    unsafe key.withValue { key in
      code = unsafe mdb_del(unsafeHandle, database.identifier, &key, nil)
    }
    if code == MDB_NOTFOUND { return false }
    try check(code)
    return true
  }
}

extension Transaction where Self: ~Copyable {
  /// The number of the transaction whose state is read; while writing, of the transaction itself.
  /// Commits are numbered without gaps, from 1.
  public var transactionID: Int { unsafe mdb_txn_id(unsafeHandle) }

  /// The named database, or nil if it was never created.
  public func database(_ name: String) throws(LMDBError) -> Database? {
    var identifier = MDB_dbi()
    let code = unsafe mdb_dbi_open(unsafeHandle, name, 0, &identifier)
    if code == MDB_NOTFOUND { return nil }
    try check(code)
    return Database(identifier: identifier)
  }

  /// The value of a key, read in the map without copying, or nil.
  @_lifetime(borrow self)
  public borrowing func get(_ key: borrowing Key, in database: Database) throws(LMDBError)
    -> RawSpan?
  {
    guard let bytes = try unsafe unsafeGet(key, in: database) else { return nil }
    // SAFETY: the value stays in place until the transaction ends, and the span may not live longer
    // than the transaction. (In a write transaction, only until the next change; callers in this
    // product change nothing before the last use.)
    return unsafe _overrideLifetime(RawSpan(_unsafeBytes: bytes), borrowing: self)
  }

  /// The value of a key, read in the map without copying, or nil; the compiler does not check its
  /// lifetime. For values that are kept together with the transaction.
  // SAFETY (for callers): use it no longer than the transaction, and in a write transaction not
  // after a change.
  @unsafe
  public borrowing func unsafeGet(_ key: borrowing Key, in database: Database) throws(LMDBError)
    -> UnsafeRawBufferPointer?
  {
    var data = unsafe MDB_val()
    var code = MDB_SUCCESS
    unsafe key.withValue { key in
      code = unsafe mdb_get(unsafeHandle, database.identifier, &key, &data)
    }
    if code == MDB_NOTFOUND { return nil }
    try check(code)
    return unsafe UnsafeRawBufferPointer(start: data.mv_data, count: data.mv_size)
  }

  /// The number of entries in a database.
  public borrowing func count(_ database: Database) throws(LMDBError) -> Int {
    var statistics = MDB_stat()
    try check(unsafe mdb_stat(unsafeHandle, database.identifier, &statistics))
    return statistics.ms_entries
  }

  /// Calls `body` with entries in the order of their keys, from `start` or from the first one,
  /// until it returns false.
  public borrowing func forEach(
    in database: Database, from start: Key? = nil,
    _ body: (_ key: RawSpan, _ value: RawSpan) -> Bool
  ) throws(LMDBError) {
    var opened: OpaquePointer?
    try check(unsafe mdb_cursor_open(unsafeHandle, database.identifier, &opened))
    guard let cursor = unsafe opened else { return }
    defer { unsafe mdb_cursor_close(cursor) }
    var (key, data) = unsafe (MDB_val(), MDB_val())
    var code = MDB_SUCCESS
    if let start {
      unsafe start.withValue { from in
        unsafe key = from
        code = unsafe mdb_cursor_get(cursor, &key, &data, MDB_SET_RANGE)
      }
    } else {
      code = unsafe mdb_cursor_get(cursor, &key, &data, MDB_FIRST)
    }
    while code == MDB_SUCCESS {
      // SAFETY: key and value stay in place while the body runs; it cannot change the database
      // through this transaction, because it has no access to it.
      let goOn = unsafe body(
        RawSpan(_unsafeStart: key.mv_data, byteCount: key.mv_size),
        RawSpan(_unsafeStart: data.mv_data, byteCount: data.mv_size))
      if !goOn { return }
      code = unsafe mdb_cursor_get(cursor, &key, &data, MDB_NEXT)
    }
    if code != MDB_NOTFOUND { throw LMDBError(code) }
  }
}
