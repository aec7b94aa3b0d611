import Concurrency
import LMDB
import RepriseModel
import StoreErrors

/// One corpus's LMDB environment: the names of its tables, the encoding of keys and values, and the
/// translation of LMDB's errors. The format is drawn in docs/internals/storage.md.
package final class CorpusFile: Sendable {
  package static let formatVersion: UInt32 = 6

  /// A key of 8 + 4 bytes.
  package static func chunkKey(segment: UInt64, chunk: Int) -> Key { Key(segment, UInt32(chunk)) }

  /// A key that no segment has.
  package static func setAsideKey(sequence order: UInt64) -> Key { Key(order, .max) }

  package let path: String
  package let environment: Environment
  package let settings: CorpusSettings
  package let isReadOnly: Bool
  /// The cancellation that long reads of the file check.
  package let cancellation: Cancellation

  /// "format", "settings", "state".
  let meta: Database
  /// Order number → `SequenceRecord`, for sequences that are not sealed yet.
  package let log: Database
  /// Caller's id → `IDRecord`, for every sequence that has an id.
  package let ids: Database
  /// Name of a group → `GroupRecord`.
  let groups: Database
  /// Order number → `GroupOutputRecord`, for the newest outputs of each group.
  let groupOutputs: Database
  /// Segment number → `SegmentRecord`.
  package let segments: Database
  /// Segment number and chunk number → bytes.
  package let chunks: Database
  /// Damaged data that no call is answered from any more: segment number → its record, with its
  /// chunks in their old place, and `setAsideKey(sequence:)` → a sequence of the log. Kept for
  /// later examination.
  package let setAside: Database

  /// The origin of a file, which determines what may be done with it.
  package enum Origin {
    /// A directory that this process alone writes to.
    case own
    /// Such a directory with a copy that LMDB has made of another file and that no process has
    /// written to: LMDB numbers its transactions anew, so the last one is not the one named in the
    /// state.
    case copy
    /// A directory that another process may be writing to. For reading.
    case shared
    /// A snapshot: a single file. For reading.
    case snapshot
  }

  /// The options of opening a file.
  package struct Options: Sendable {
    /// Address space for the file, and therefore its largest size.
    package var mapBytes: Int
    /// Ends long reads of the file when it is cancelled.
    package var cancellation: Cancellation

    package init(mapBytes: Int, cancellation: Cancellation) {
      self.mapBytes = mapBytes
      self.cancellation = cancellation
    }
  }

  /// Creates a corpus in an empty directory.
  package convenience init(path: String, creating settings: CorpusSettings, options: Options)
    throws(StoreError)
  {
    do throws(LMDBError) {
      let environment = try Environment(
        directory: path, options: Environment.Options(mapBytes: options.mapBytes))
      let transaction = try WriteTransaction(environment)
      let meta = try transaction.createDatabase("meta")
      for table in Self.tables { _ = try transaction.createDatabase(table) }
      var version: [UInt8] = []
      version.append(Self.formatVersion)
      try transaction.put(Key("format"), version.rawSpan, in: meta)
      try transaction.put(Key("settings"), settings.encoded().rawSpan, in: meta)
      try Self.put(
        CorpusState(transaction: transaction.transactionID, nextOrder: 0), transaction, meta)
      try transaction.commit()
      environment.close()
    } catch {
      throw StoreError(error, path: path, environment: nil)
    }
    try self.init(path: path, options: options)
  }

  private static let tables = [
    "log", "ids", "segments", "chunks", "set_aside", "groups", "group_outputs",
  ]

  /// Opens a corpus, after checking every page that LMDB will read.
  ///
  /// - Complexity: O(pages of trees), not of chunks: milliseconds for 100 million tokens.
  ///
  /// - Parameters:
  ///   - place: The future path, which messages name.
  ///   - newSettings: For a copy, the settings that replace those in it.
  package init(
    path: String, origin: Origin = .own, shownAs place: String? = nil,
    settings newSettings: CorpusSettings? = nil, options: Options
  ) throws(StoreError) {
    self.path = place ?? path
    cancellation = options.cancellation
    isReadOnly =
      switch origin {
      case .own, .copy: false
      case .shared, .snapshot: true
      }
    let tables: [Database?]
    do throws(LMDBError) {
      var environmentOptions = Environment.Options(mapBytes: options.mapBytes)
      switch origin {
      case .own, .copy:
        environment = try Environment(directory: path, options: environmentOptions)
      case .shared:
        environmentOptions.isReadOnly = true
        environment = try Environment(directory: path, options: environmentOptions)
      case .snapshot: environment = try Environment(readingFile: path, options: environmentOptions)
      }
      let transaction = try ReadTransaction.checkingPages(of: environment)
      tables = try Self.open(["meta"] + Self.tables, transaction)
      try transaction.commit()
    } catch {
      throw StoreError(error, path: path, environment: nil)
    }
    guard let meta = tables[0] else { throw .corrupt(what: "table meta", where: path) }
    let environment = environment
    // The version comes first: it determines whether the rest can be read.
    let settings = try Self.readSettings(environment, meta, path)
    self.settings = newSettings ?? settings
    guard let log = tables[1], let ids = tables[2], let segments = tables[3],
      let chunks = tables[4], let setAside = tables[5], let groups = tables[6],
      let groupOutputs = tables[7]
    else { throw .corrupt(what: "a table of the corpus", where: path) }
    self.meta = meta
    self.log = log
    self.ids = ids
    self.segments = segments
    self.chunks = chunks
    self.setAside = setAside
    self.groups = groups
    self.groupOutputs = groupOutputs
    switch origin {
    case .own: _ = try readState()
    case .copy:
      // From here on the file has a history of its own.
      let nextOrder = try readState(isCopy: true).nextOrder
      let adopted = self.settings.encoded()
      try write(nextOrder: nextOrder) { (transaction) throws(LMDBError) in
        try transaction.put(Key("settings"), adopted.rawSpan, in: meta)
      }
    // Another process may commit between reading the state and reading the transaction.
    case .shared, .snapshot: _ = try readState(isCopy: true)
    }
  }

  private static func open(
    _ names: [String], _ transaction: borrowing ReadTransaction
  ) throws(LMDBError) -> [Database?] {
    var tables: [Database?] = []
    for name in names { tables.append(try transaction.database(name)) }
    return tables
  }

  private static func readSettings(
    _ environment: Environment, _ meta: Database, _ path: String
  ) throws(StoreError) -> CorpusSettings {
    var version: UInt32?
    var settings: CorpusSettings?
    do throws(LMDBError) {
      let transaction = try ReadTransaction(environment)
      if let bytes = try transaction.get(Key("format"), in: meta) {
        var reader = RecordReader(bytes)
        version = reader.read(UInt32.self)
      }
      if let bytes = try transaction.get(Key("settings"), in: meta) {
        settings = CorpusSettings(encoded: bytes)
      }
    } catch {
      throw StoreError(error, path: path, environment: environment)
    }
    if let version, version != formatVersion {
      throw .formatVersion(path: path, found: Int(version), expected: Int(formatVersion))
    }
    guard version != nil, let settings else {
      throw .corrupt(what: "the corpus's settings", where: path)
    }
    return settings
  }

  // MARK: Reading

  package func beginReading() throws(StoreError) -> ReadTransaction {
    do throws(LMDBError) {
      return try ReadTransaction(environment)
    } catch {
      throw self.error(error)
    }
  }

  /// Begins to read a file that another process may be writing to, after checking every page of it.
  package func beginCheckedReading() throws(StoreError) -> ReadTransaction {
    do throws(LMDBError) {
      return try ReadTransaction.checkingPages(of: environment)
    } catch {
      throw self.error(error)
    }
  }

  private func readState(isCopy: Bool = false) throws(StoreError) -> CorpusState {
    let transaction = try beginReading()
    return try state(transaction, isCopy: isCopy)
  }

  /// Reads the state.
  ///
  /// - Parameter isCopy: True if another transaction may have written the state.
  package func state(
    _ transaction: borrowing ReadTransaction, isCopy: Bool = false
  ) throws(StoreError) -> CorpusState {
    var state: CorpusState?
    do throws(LMDBError) {
      if let bytes = try transaction.get(Key("state"), in: meta) {
        state = CorpusState(encoded: bytes)
      }
    } catch {
      throw self.error(error)
    }
    guard let state else { throw .corrupt(what: "the record \"state\" of table meta", where: path) }
    if !isCopy && state.transaction != transaction.transactionID {
      throw .corrupt(
        what: "the newest transaction: the file is at \(transaction.transactionID), and what it "
          + "holds was written by \(state.transaction);", where: path)
    }
    return state
  }

  // MARK: Writing

  /// Makes changes in one transaction, which is on disk when this returns.
  package func write(
    nextOrder: UInt64, _ change: (borrowing WriteTransaction) throws(LMDBError) -> Void
  ) throws(StoreError) {
    do throws(LMDBError) {
      let transaction = try WriteTransaction(environment)
      try change(transaction)
      try commit(transaction, nextOrder: nextOrder)
    } catch {
      throw self.error(error)
    }
  }

  /// Commits a transaction. Every commit passes here, because each leaves its state.
  func commit(_ transaction: consuming WriteTransaction, nextOrder: UInt64) throws(LMDBError) {
    let state = CorpusState(transaction: transaction.transactionID, nextOrder: nextOrder)
    try Self.put(state, transaction, meta)
    CrashPoint.commitBefore.reached()
    try transaction.commit()
    CrashPoint.commitAfter.reached()
  }

  private static func put(
    _ state: CorpusState, _ transaction: borrowing WriteTransaction, _ meta: Database
  ) throws(LMDBError) {
    try transaction.put(Key("state"), state.encoded().rawSpan, in: meta)
  }

  package func error(_ error: LMDBError) -> StoreError {
    StoreError(error, path: path, environment: environment)
  }
}
