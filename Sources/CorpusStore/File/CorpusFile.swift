import Glibc
import LMDB
import RepriseModel

/// One corpus's LMDB environment: the names of its tables, the encoding of keys and values, and the
/// translation of LMDB's errors. The format is drawn in docs/internals/storage.md.
final class CorpusFile: Sendable {
  static let formatVersion: UInt32 = 3

  /// A key of 8 + 4 bytes.
  static func chunkKey(segment: UInt64, chunk: Int) -> Key { Key(segment, UInt32(chunk)) }

  /// A key that no segment has.
  static func setAsideKey(sequence order: UInt64) -> Key { Key(order, .max) }

  let path: String
  let environment: Environment
  let settings: CorpusSettings
  let isReadOnly: Bool
  /// The cancellation that long reads of the file check.
  let cancellation: Cancellation

  /// "format", "settings", "state".
  let meta: Database
  /// Order number → `SequenceRecord`, for sequences that are not sealed yet.
  let log: Database
  /// Caller's id → `IDRecord`, for every sequence that has an id.
  let ids: Database
  /// Segment number → `SegmentRecord`.
  let segments: Database
  /// Segment number and chunk number → bytes.
  let chunks: Database
  /// Damaged data that no call is answered from any more: segment number → its record, with its
  /// chunks in their old place, and `setAsideKey(sequence:)` → a sequence of the log. Kept for
  /// later examination.
  let setAside: Database

  /// The origin of a file, which determines what may be done with it.
  enum Origin {
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

  /// The record `state`, which every transaction writes.
  struct State: Equatable {
    /// The transaction that wrote the state. LMDB's own pages carry no checksum; a state written by
    /// another transaction than the newest reveals that the newest was lost.
    var transaction: Int
    /// The order number that the next sequence gets.
    var nextOrder: UInt64
  }

  /// Creates a corpus in an empty directory.
  convenience init(path: String, creating settings: CorpusSettings, options: StoreOptions)
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
      try Self.put(State(transaction: transaction.transactionID, nextOrder: 0), transaction, meta)
      try transaction.commit()
      environment.close()
    } catch {
      throw StoreError(error, path: path, environment: nil)
    }
    try self.init(path: path, options: options)
  }

  private static let tables = ["log", "ids", "segments", "chunks", "set_aside"]

  /// Opens a corpus, after checking every page that LMDB will read.
  ///
  /// - Complexity: O(pages of trees), not of chunks: milliseconds for 100 million tokens.
  ///
  /// - Parameters:
  ///   - place: The future path, which messages name.
  ///   - newSettings: For a copy, the settings that replace those in it.
  init(
    path: String, origin: Origin = .own, shownAs place: String? = nil,
    settings newSettings: CorpusSettings? = nil, options: StoreOptions
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
      let chunks = tables[4], let setAside = tables[5]
    else { throw .corrupt(what: "a table of the corpus", where: path) }
    self.meta = meta
    self.log = log
    self.ids = ids
    self.segments = segments
    self.chunks = chunks
    self.setAside = setAside
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

  func beginReading() throws(StoreError) -> ReadTransaction {
    do throws(LMDBError) {
      return try ReadTransaction(environment)
    } catch {
      throw self.error(error)
    }
  }

  /// Begins to read a file that another process may be writing to, after checking every page of it.
  func beginCheckedReading() throws(StoreError) -> ReadTransaction {
    do throws(LMDBError) {
      return try ReadTransaction.checkingPages(of: environment)
    } catch {
      throw self.error(error)
    }
  }

  private func readState(isCopy: Bool = false) throws(StoreError) -> State {
    let transaction = try beginReading()
    return try state(transaction, isCopy: isCopy)
  }

  /// Reads the state.
  ///
  /// - Parameter isCopy: True if another transaction may have written the state.
  func state(
    _ transaction: borrowing ReadTransaction, isCopy: Bool = false
  ) throws(StoreError) -> State {
    var state: State?
    do throws(LMDBError) {
      if let bytes = try transaction.get(Key("state"), in: meta) { state = State(encoded: bytes) }
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
  func write(
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
    let state = State(transaction: transaction.transactionID, nextOrder: nextOrder)
    try Self.put(state, transaction, meta)
    CrashPoint.commitBefore.reached()
    try transaction.commit()
    CrashPoint.commitAfter.reached()
  }

  private static func put(
    _ state: State, _ transaction: borrowing WriteTransaction, _ meta: Database
  ) throws(LMDBError) {
    try transaction.put(Key("state"), state.encoded().rawSpan, in: meta)
  }

  func error(_ error: LMDBError) -> StoreError {
    StoreError(error, path: path, environment: environment)
  }
}

extension CorpusFile.State {
  private static let seed = checksumSeed("state")

  /// u64 transaction, u64 next order number, XXH3.
  func encoded() -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.append(UInt64(transaction))
    bytes.append(nextOrder)
    bytes.appendChecksum(seed: Self.seed)
    return bytes
  }

  init?(encoded bytes: RawSpan) {
    guard bytes.byteCount == 24, var reader = RecordReader(checked: bytes, seed: Self.seed),
      let transaction = reader.read(UInt64.self), transaction < UInt64(Int.max),
      let nextOrder = reader.read(UInt64.self)
    else { return nil }
    self.init(transaction: Int(transaction), nextOrder: nextOrder)
  }
}

extension CorpusSettings {
  private static let seed = checksumSeed("settings")

  /// The record `settings`: u32 depth; u32 vocabulary, 0 for none; u32 durability window in
  /// milliseconds, 0 for "commit"; u64 tokens, u64 sequences, u64 seconds that are kept, 0 for no
  /// bound; u32 length of the tokenizer's name in bytes, all ones for none; name; XXH3.
  func encoded() -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.append(UInt32(depth))
    bytes.append(UInt32(vocabulary ?? 0))
    switch durability {
    case .commit: bytes.append(UInt32(0))
    case .interval(let millis): bytes.append(UInt32(millis))
    }
    for bound in [retention.tokens, retention.sequences, retention.ageSeconds] {
      bytes.append(UInt64(bound ?? 0))
    }
    bytes.append(tokenizer.map { UInt32($0.utf8.count) } ?? UInt32.max)
    bytes.append(contentsOf: (tokenizer ?? "").utf8)
    bytes.appendChecksum(seed: Self.seed)
    return bytes
  }

  init?(encoded bytes: RawSpan) {
    guard var reader = RecordReader(checked: bytes, seed: Self.seed),
      let depth = reader.read(UInt32.self), let vocabulary = reader.read(UInt32.self),
      let millis = reader.read(UInt32.self),
      let tokens = reader.read(UInt64.self), let sequences = reader.read(UInt64.self),
      let ageSeconds = reader.read(UInt64.self), let nameBytes = reader.read(UInt32.self)
    else { return nil }
    self.init(depth: Int(depth), vocabulary: vocabulary == 0 ? nil : Int(vocabulary))
    if nameBytes != UInt32.max {
      guard let name = reader.readString(bytes: Int(nameBytes)) else { return nil }
      tokenizer = name
    }
    if millis > 0 { durability = .interval(millis: Int(millis)) }
    func bound(_ value: UInt64) -> Int? { value == 0 ? nil : Int(truncatingIfNeeded: value) }
    retention = Retention(
      tokens: bound(tokens), sequences: bound(sequences), ageSeconds: bound(ageSeconds))
    guard reader.bytesLeft == 0, problem == nil else { return nil }
  }
}

extension StoreError {
  init(_ error: LMDBError, path: String, environment: Environment?) {
    switch error {
    case .mapFull:
      let usage = environment?.usage()
      self = .mapFull(usedBytes: usage?.usedBytes ?? 0, mapBytes: usage?.mapBytes ?? 0)
    case .diskFull: self.init(errno: ENOSPC, path: path)
    // LMDB reports this error if the disk accepted a write only in part.
    case .inputOutput where StoreDirectory.isFull(path): self.init(errno: ENOSPC, path: path)
    case .damaged: self = .corrupt(what: "the database", where: path)
    case .damagedPage: self = .corrupt(what: error.description, where: path)
    case .inaccessible(let path, let errno): self.init(errno: errno, path: path)
    case .other(let code, _) where [EMFILE, ENFILE, EACCES, EPERM, EROFS].contains(code):
      self.init(errno: code, path: path)
    case .alreadyOpen(let path): self = .inUse(path: path)
    case .versionMismatch, .readersFull, .inputOutput, .other:
      self = .fileFailed(path: path, reason: error.description)
    }
  }
}
