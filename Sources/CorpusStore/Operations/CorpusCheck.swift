import Concurrency
import CorpusFormat
import LMDB
import RepriseModel
import StoreErrors
import SuffixIndex

/// Checks one corpus's file.
struct CorpusCheck {
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
    _ path: String, _ options: CorpusFile.Options, _ progress: (String) -> Void
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
    let damage = try DamageSearch(file, transaction)
    for found in damage.found {
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
    entries += try file.loggedEntries(transaction)
    result.sequences = entries.count
    result.tokens = entries.reduce(0) { $0 + $1.tokens }
    checkOrders(entries, next: state.nextOrder)
    // Damage was reported above; ids without their sequences would only repeat it.
    if damage.found.isEmpty {
      try checkIDs(entries, file, transaction)
      try checkGroups(entries, file, transaction)
    }
  }

  /// Returns the content of the segment, as far as it can be read.
  private mutating func checkSegment(
    _ number: UInt64, _ file: CorpusFile, _ transaction: borrowing ReadTransaction
  ) throws(StoreError) -> [SequenceTable.Entry] {
    let what = "segment \(number)"
    try file.cancellation.check()
    do throws(StoreError) {
      // If this throws, `DamageSearch` has found it.
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
    if !entries.isEmpty,
      table.orders != record.orders || table.seconds != record.seconds
        || table.size != record.size
    {
      report(what, "its record and its table do not agree", Self.restoreRemedy)
    }
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

  /// Checks that each output of a group is that of its sequence.
  private mutating func checkGroups(
    _ entries: [SequenceTable.Entry], _ file: CorpusFile, _ transaction: borrowing ReadTransaction
  ) throws(StoreError) {
    let tables = GroupTables(of: file)
    let count = try tables.outputCount(transaction)
    if count == 0 { return }
    var known = 0
    for entry in entries {
      guard let digest = try tables.outputDigest(entry.order, transaction) else { continue }
      known += 1
      if digest != entry.digest {
        report(
          "output \(entry.order) of a group", "it differs from its sequence", Self.restoreRemedy)
      }
    }
    if count != known {
      report(
        "table group_outputs", "\(count - known) of its \(count) outputs have no sequence",
        Self.restoreRemedy)
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
      if record != IDRecord(order: entry.order, digest: entry.outputDigest) {
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
