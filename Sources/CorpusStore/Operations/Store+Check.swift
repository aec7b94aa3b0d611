import Foundation
import LMDB
import RepriseModel
import SuffixIndex

/// The findings of `Store.check`.
public struct CheckReport: Equatable, Sendable {
  /// The findings on one corpus.
  public struct Corpus: Equatable, Sendable {
    public var name: CorpusName
    public var sequences = 0
    public var tokens = 0
    public var segments = 0
    /// The space that its file takes on the disk.
    public var bytes = 0
    /// The damage of the corpus's file.
    public var damage: [Damage] = []
  }
  /// One damaged place.
  public struct Damage: Equatable, Sendable {
    /// A place, for example "segment 7".
    public var what: String
    /// The finding, for example "chunk 3: its checksum is not the record's".
    public var reason: String
    /// The advice for the operator.
    public var remedy: String
  }
  public var corpora: [Corpus] = []
  public var snapshots: [SnapshotDescription] = []
  /// Damage outside of corpora: the store's own files, snapshots.
  public var damage: [Damage] = []

  /// True if no damage was found.
  public var isClean: Bool { damage.isEmpty && corpora.allSatisfy(\.damage.isEmpty) }

  public init() {}
}

extension Store {
  /// Searches for damage in a store's directory, also while another process has it open. Changes
  /// nothing.
  ///
  /// It checks the structure of each database; the checksum of each record, chunk and sequence;
  /// that ids and sequences refer to each other; the structure of each index, and counts of
  /// patterns drawn at random; each snapshot's digest and contents.
  ///
  /// - Parameters:
  ///   - deep: True if every index is rebuilt from its text, and compared byte by byte.
  ///   - memory: The budget of the process: building an index takes some 30 bytes a token.
  ///   - cancellation: Checked every few milliseconds.
  ///   - progress: Called with the name of each part before it is checked.
  /// - Throws: An error if there is no store, or it cannot be read; `cancelled`; `memoryShort` if
  ///   there is not enough memory to rebuild an index.
  public static func check(
    path: String, deep: Bool = false, memory: MemoryBudget = MemoryBudget(),
    cancellation: Cancellation = Cancellation(),
    progress: (_ what: String) -> Void = { _ in }
  ) throws(StoreError) -> CheckReport {
    let directory = StoreDirectory(path: path)
    var report = CheckReport()
    guard try directory.isFormatted() else { throw .noStore(path: path) }
    var options = StoreOptions()
    options.compactsInBackground = false
    options.cancellation = cancellation
    options.memory = memory
    for name in try directory.corpusNames() {
      progress("corpus \(name)")
      try cancellation.check()
      var check = CorpusCheck(name, deep: deep, memory)
      try check.run(directory.corpus(name), options, progress)
      report.corpora.append(check.result)
    }
    for name in try directory.snapshotNames() {
      progress("snapshot \(name)")
      try cancellation.check()
      do throws(StoreError) {
        report.snapshots.append(
          try verifySnapshot(directory.snapshot(name), name: name, options: options))
      } catch {
        if error == .cancelled { throw error }
        report.damage.append(
          CheckReport.Damage(
            what: "snapshot \(name)", reason: "\(error)",
            remedy: "delete it, and take another one"))
      }
    }
    return report
  }
}

/// Checks one corpus's file.
private struct CorpusCheck {
  private(set) var result: CheckReport.Corpus
  private let deep: Bool
  private let memory: MemoryBudget

  /// The number of patterns of each index whose counts are compared.
  private static let samples = 1000

  init(_ name: CorpusName, deep: Bool, _ memory: MemoryBudget) {
    self.memory = memory
    result = CheckReport.Corpus(name: name)
    self.deep = deep
  }

  private mutating func report(_ what: String, _ reason: String, _ remedy: String) {
    result.damage.append(CheckReport.Damage(what: what, reason: reason, remedy: remedy))
  }

  private static let restoreRemedy =
    "restore the corpus from a snapshot"
  private static let repairRemedy =
    "serve the store: intact data is rebuilt, and losses are named"

  /// - Throws: An error if the file cannot be read.
  mutating func run(
    _ path: String, _ options: StoreOptions, _ progress: (String) -> Void
  ) throws(StoreError) {
    do throws(StoreError) {
      let file = try CorpusFile(path: path, origin: .shared, options: options)
      result.bytes = file.environment.usage().diskBytes
      let transaction = try file.beginCheckedReading()
      try check(file, transaction, progress)
    } catch {
      switch error {
      case .corrupt(let what, let place): report(place, what, Self.restoreRemedy)
      case .formatVersion: report(path, "\(error)", "use the version of Reprise that wrote it")
      default: throw error
      }
    }
  }

  private mutating func check(
    _ file: CorpusFile, _ transaction: borrowing ReadTransaction, _ progress: (String) -> Void
  ) throws(StoreError) {
    let state = try file.state(transaction)
    let repair = try Repair(file, transaction)
    for found in repair.found {
      report(found, "its checksum does not match its content", Self.repairRemedy)
    }
    for place in try file.placesSetAside(transaction) {
      report(
        place, "it was found damaged at an earlier start, and is no longer used",
        "its intact sequences are in service; to recover the lost ones, restore the corpus from a "
          + "snapshot, or insert them again")
    }

    var entries: [SequenceTable.Entry] = []
    for number in try file.segmentNumbers(transaction) {
      progress("corpus \(result.name), segment \(number)")
      entries += try checkSegment(number, file, transaction)
      result.segments += 1
    }
    entries += try loggedEntries(file, transaction)
    result.sequences = entries.count
    result.tokens = entries.reduce(0) { $0 + $1.tokens }
    checkOrders(entries, next: state.nextOrder)
    // Damage was reported above; ids without their sequences would only repeat it.
    if repair.found.isEmpty { try checkIDs(entries, file, transaction) }
  }

  /// Returns the content of the segment, as far as it can be read.
  private mutating func checkSegment(
    _ number: UInt64, _ file: CorpusFile, _ transaction: borrowing ReadTransaction
  ) throws(StoreError) -> [SequenceTable.Entry] {
    let what = "segment \(number)"
    try file.cancellation.check()
    do throws(StoreError) {
      // If this throws, `Repair` has reported it.
      let segment = try file.segment(number, transaction, mark: DamageMark())
      let entries = try segment.sequenceTable(file, transaction)
      try checkSequences(segment, entries, file.cancellation)
      let bytes = SegmentBuilder.peakBytes(
        textTokens: segment.record.textTokens, nodes: segment.index.nodeCount,
        imageBytes: segment.record.imageBytes)
      let reservation = deep ? memory.reserve(bytes, for: .operations) : nil
      if deep && reservation == nil { throw .memoryShort(bytes: bytes) }
      defer { withExtendedLifetime(reservation) {} }
      do throws(SealedIndex.CheckError) {
        let isCancelled = { [cancellation = file.cancellation] in cancellation.isCancelled }
        try segment.index.checkStructure(isCancelled: isCancelled)
        try segment.index.checkSamples(Self.samples, seed: number)
        if deep { try segment.index.checkAgainstRebuild(isCancelled: isCancelled) }
      } catch {
        if error == .cancelled { throw .cancelled }
        report(what, "\(error)", Self.restoreRemedy)
      }
      return entries
    } catch {
      guard case .corrupt(let reason, let place) = error else { throw error }
      if result.damage.isEmpty { report(place, reason, Self.repairRemedy) }
      return []
    }
  }

  private mutating func checkSequences(
    _ segment: Segment, _ entries: [SequenceTable.Entry], _ cancellation: Cancellation
  ) throws(StoreError) {
    let what = "segment \(segment.number)"
    var damaged: [UInt64] = []
    var seen = 0
    segment.text?.forEachSequence { index, tokens in
      if cancellation.isCancelled { return false }
      seen += 1
      guard index < entries.count else { return false }
      let entry = entries[index]
      if entry.tokens != tokens.count || entry.digest != checksum(tokens.tokenBytes) {
        damaged.append(entry.order)
      }
      return true
    }
    try cancellation.check()
    if seen != entries.count {
      report(
        what, "its text and its table have different numbers of sequences", Self.restoreRemedy)
    }
    if let first = damaged.first {
      report(
        what, "\(damaged.count) of its sequences, number \(first) first, are not what was inserted",
        Self.restoreRemedy)
    }
    let record = segment.record
    var table = SequenceTable()
    for entry in entries { table.append(entry) }
    if table.count > 0,
      table.orders != record.orders || table.seconds != record.seconds
        || table.tokens != record.tokens
    {
      report(what, "its record and its table do not agree", Self.restoreRemedy)
    }
  }

  private func loggedEntries(
    _ file: CorpusFile, _ transaction: borrowing ReadTransaction
  ) throws(StoreError) -> [SequenceTable.Entry] {
    var entries: [SequenceTable.Entry] = []
    do throws(LMDBError) {
      try transaction.forEach(in: file.log) { key, value in
        if let order = Key.number(key), let record = SequenceRecord(value, order: order) {
          entries.append(record.entry(order: order))
        }
        return true
      }
    } catch {
      throw file.error(error)
    }
    return entries
  }

  /// Checks that each sequence exists once.
  private mutating func checkOrders(_ entries: [SequenceTable.Entry], next: UInt64) {
    var orders: Set<UInt64> = []
    for entry in entries {
      if !orders.insert(entry.order).inserted {
        report("sequence \(entry.order)", "it is there twice", Self.restoreRemedy)
      }
      if entry.order >= next {
        report(
          "sequence \(entry.order)", "its number is not below the next one, \(next)",
          Self.restoreRemedy)
      }
    }
  }

  /// Checks that each id refers to its sequence, and that there are no other ids.
  private mutating func checkIDs(
    _ entries: [SequenceTable.Entry], _ file: CorpusFile, _ transaction: borrowing ReadTransaction
  ) throws(StoreError) {
    var known = 0
    for entry in entries {
      guard let id = entry.id else { continue }
      known += 1
      let record = try file.idRecord(id, transaction)
      if record != IDRecord(order: entry.order, digest: entry.digest) {
        report(
          "id \"\(id)\"",
          record == nil ? "it is missing" : "it does not refer to sequence \(entry.order)",
          Self.restoreRemedy)
      }
    }
    var count = 0
    do throws(LMDBError) {
      count = try transaction.count(file.ids)
    } catch {
      throw file.error(error)
    }
    if count != known {
      report(
        "table ids", "it has \(count) records, and \(known) sequences have an id",
        Self.restoreRemedy)
    }
  }
}
