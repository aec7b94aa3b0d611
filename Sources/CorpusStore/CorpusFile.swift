import LMDB

/// One corpus's LMDB environment: what its tables are called, what their keys and values look like,
/// and how LMDB's errors read to a caller. The format is drawn in docs/storage.md.
final class CorpusFile: Sendable {
  static let formatVersion: UInt32 = 1

  /// A key of 8 + 4 bytes.
  static func chunkKey(segment: UInt64, chunk: Int) -> Key { Key(segment, UInt32(chunk)) }

  let path: String
  let environment: Environment
  let settings: CorpusSettings

  /// "format", "settings", "next_order".
  let meta: Database
  /// Order number → `SequenceRecord`, for sequences that are not sealed yet.
  let log: Database
  /// Caller's id → order number and digest of the tokens, for every sequence that has an id.
  let ids: Database
  /// Segment number → `SegmentRecord`.
  let segments: Database
  /// Segment number and chunk number → bytes.
  let chunks: Database

  /// Opens the corpus in a directory, or makes it there if `settings` are given.
  init(path: String, creating newSettings: CorpusSettings?, options: StoreOptions)
    throws(StoreError)
  {
    self.path = path
    do throws(LMDBError) {
      environment = try Environment(
        directory: path, options: Environment.Options(mapBytes: options.mapBytes))
      let transaction = try WriteTransaction(environment)
      meta = try transaction.createDatabase("meta")
      log = try transaction.createDatabase("log")
      ids = try transaction.createDatabase("ids")
      segments = try transaction.createDatabase("segments")
      chunks = try transaction.createDatabase("chunks")
      if let newSettings {
        var version: [UInt8] = []
        version.append(Self.formatVersion)
        try transaction.put(Key("format"), version.rawSpan, in: meta)
        try transaction.put(Key("settings"), newSettings.encoded().rawSpan, in: meta)
      }
      try transaction.commit()
    } catch {
      throw StoreError(error, path: path, environment: nil)
    }
    settings = try Self.readSettings(environment, meta, path)
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

  /// Reads a number from `meta`; 0 where it was never written.
  func readNumber(_ name: String, _ transaction: borrowing ReadTransaction) throws(LMDBError)
    -> UInt64
  {
    guard let bytes = try transaction.get(Key(name), in: meta) else { return 0 }
    var reader = RecordReader(bytes)
    return reader.read(UInt64.self) ?? 0
  }

  func beginReading() throws(StoreError) -> ReadTransaction {
    do throws(LMDBError) {
      return try ReadTransaction(environment)
    } catch {
      throw self.error(error)
    }
  }

  func error(_ error: LMDBError) -> StoreError {
    StoreError(error, path: path, environment: environment)
  }
}

extension CorpusSettings {
  /// u32 depth, u32 bytes of the tokenizer's name (all ones for none), name, XXH3.
  func encoded() -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.append(UInt32(depth))
    bytes.append(tokenizer.map { UInt32($0.utf8.count) } ?? UInt32.max)
    bytes.append(contentsOf: (tokenizer ?? "").utf8)
    bytes.appendChecksum()
    return bytes
  }

  init?(encoded bytes: RawSpan) {
    guard var reader = RecordReader(checked: bytes),
      let depth = reader.read(UInt32.self), let nameBytes = reader.read(UInt32.self)
    else { return nil }
    self.init(depth: Int(depth))
    if nameBytes != UInt32.max {
      guard let name = reader.readString(bytes: Int(nameBytes)) else { return nil }
      tokenizer = name
    }
  }

  /// What differs, in words, from other settings that are asked for.
  func differences(from other: CorpusSettings) -> [String] {
    var differences: [String] = []
    if depth != other.depth { differences.append("depth is \(depth), asked for \(other.depth)") }
    if tokenizer != other.tokenizer {
      differences.append(
        "tokenizer is \(tokenizer ?? "not set"), asked for \(other.tokenizer ?? "none")")
    }
    return differences
  }
}

extension StoreError {
  init(_ error: LMDBError, path: String, environment: Environment?) {
    switch error {
    case .mapFull, .diskFull:
      let usage = environment?.usage()
      self = .full(usedBytes: usage?.usedBytes ?? 0, maxBytes: usage?.mapBytes ?? 0)
    case .damaged: self = .corrupt(what: "the database", where: path)
    case .damagedPage: self = .corrupt(what: error.description, where: path)
    case .inaccessible(let path, _): self = .inaccessible(path: path, reason: error.description)
    case .alreadyOpen(let path): self = .inUse(path: path)
    case .versionMismatch, .readersFull, .inputOutput, .other:
      self = .failed("\(path): \(error.description)")
    }
  }
}
