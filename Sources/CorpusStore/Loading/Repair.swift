import Concurrency
import CorpusFormat
import LMDB
import RepriseModel
import StoreErrors
import SuffixIndex

/// Replaces damaged data of a corpus's file by what the rest of the file allows.
///
/// - A segment whose index is damaged is rebuilt from its sequences. Each of them has a digest in
///   the segment's table. Sequences that do not match it are lost; then the old segment is set
///   aside, so that no data is destroyed that might still be read.
/// - A segment whose record or table is damaged is set aside: the ids and the order of its
///   sequences are unknown.
/// - A damaged sequence of the log is set aside.
/// - If a record of an id is damaged, or a sequence was lost, the table of ids is rebuilt from the
///   log and the tables of segments.
/// - If a record of a group is damaged, or a sequence was lost, the groups are rebuilt from the
///   outputs in them that are intact.
///
/// Repairing cannot bring lost data back. It keeps the rest in service, and names what is lost.
struct Repair {
  /// Sentences on the outcome.
  private(set) var outcome: [String] = []

  private let file: CorpusFile
  private let damage: DamageSearch

  /// - Parameter damage: The damage of the file, whose transaction has ended.
  init(of damage: DamageSearch) {
    self.damage = damage
    file = damage.file
  }

  /// Deletes the chunks of segments that were being written when the process ended: their record,
  /// which is written last, is missing.
  func removeUnfinishedSegments() throws(StoreError) {
    let unfinished = try unfinishedChunks()
    if unfinished.isEmpty { return }
    try write { (transaction) throws(LMDBError) in
      for key in unfinished { try transaction.delete(Key(bytes: key), in: file.chunks) }
    }
  }

  private func unfinishedChunks() throws(StoreError) -> [[UInt8]] {
    let transaction = try file.beginReading()
    let known = Set(
      try file.segmentNumbers(transaction) + file.numbers(file.setAside, transaction))
    var keys: [[UInt8]] = []
    do throws(LMDBError) {
      try transaction.forEach(in: file.chunks) { key, _ in
        if let number = Key.number(key), known.contains(number) { return true }
        keys.append(key.bytes)
        return true
      }
    } catch {
      throw file.error(error)
    }
    return keys
  }

  /// Repairs all damage that was found.
  ///
  /// - Parameter memory: Segments are rebuilt in pieces that fit into it.
  mutating func repair(_ memory: MemoryBudget) throws(StoreError) {
    if damage.found.isEmpty { return }
    var lostSequences = !damage.sequences.isEmpty || !damage.records.isEmpty
    for segment in damage.segments {
      if try !rebuild(segment, memory) { lostSequences = true }
    }
    for number in damage.records {
      try move(Key(number), from: file.segments)
      outcome.append(
        "segment \(number) was set aside with all its sequences: its record is damaged")
    }
    for order in damage.sequences {
      try move(Key(order), from: file.log, to: CorpusFile.setAsideKey(sequence: order))
      outcome.append("sequence \(order) of the log was set aside: it is damaged")
    }
    if damage.idsAreDamaged || lostSequences {
      let count = try rebuildIDs()
      outcome.append("the table of ids was rebuilt from \(count) sequences")
    }
    if damage.groupsAreDamaged || lostSequences {
      let count = try rebuildGroups()
      outcome.append("the groups were rebuilt from \(count) of their outputs")
    }
  }

  /// Rebuilds a segment from its sequences. Returns true if all of them were intact.
  private mutating func rebuild(
    _ segment: SegmentChunks, _ memory: MemoryBudget
  ) throws(StoreError) -> Bool {
    let transaction = try file.beginReading()
    let entries: [SequenceTable.Entry]
    do throws(StoreError) {
      entries = try segment.sequenceTable(transaction)
    } catch {
      guard case .corrupt = error else { throw error }
      _ = consume transaction
      try move(Key(segment.number), from: file.segments)
      outcome.append(
        "segment \(segment.number) was set aside with its \(segment.record.size.sequences) sequences: "
          + "the table of their order is damaged")
      return false
    }
    var new = try UnservedSegments(file)
    let lost = try copyWholeSequences(of: segment, entries, transaction, memory, to: &new)
    _ = consume transaction
    try new.finish { (transaction) throws(LMDBError) in
      if lost.isEmpty {
        try segment.delete(transaction)
      } else {
        let record = segment.record.encoded(segment: segment.number)
        try transaction.put(Key(segment.number), record.rawSpan, in: file.setAside)
      }
      try transaction.delete(Key(segment.number), in: file.segments)
    }
    if lost.isEmpty {
      outcome.append(
        "segment \(segment.number) was damaged, and was rebuilt from its \(entries.count) "
          + "sequences, all of them intact")
      return true
    }
    let names = lost.prefix(20).map { $0.id.map { "\"\($0)\"" } ?? "number \($0.order)" }
    outcome.append(
      "segment \(segment.number) was damaged and set aside; \(entries.count - lost.count) of its "
        + "sequences are intact and were kept, \(lost.count) are lost: "
        + names.joined(separator: ", ") + (lost.count > 20 ? ", …" : ""))
    return false
  }

  /// Builds segments from the intact sequences, in their order. Returns the others.
  private func copyWholeSequences(
    of segment: SegmentChunks, _ entries: [SequenceTable.Entry],
    _ transaction: borrowing ReadTransaction, _ memory: MemoryBudget,
    to new: inout UnservedSegments
  ) throws(StoreError) -> [SequenceTable.Entry] {
    // A damaged end of a sequence shifts those after it, so sequences are identified by their
    // digests.
    var wanted = Dictionary(grouping: entries, by: \.digest).mapValues { $0.reversed() as [_] }
    var pieces = SegmentPieces(
      depth: file.settings.depth, memory,
      expected: segment.record.size,
      isCancelled: { [cancellation = file.cancellation] in cancellation.isCancelled })
    var failure: StoreError?
    // As far as the chunks of the text exist.
    let addresses = try ChunkAddresses(segment, in: file, transaction)
    addresses?.text?.forEachSequence { _, tokens in
      if file.cancellation.isCancelled { return false }
      guard let entry = wanted[checksum(tokens.tokenBytes)]?.popLast(),
        entry.tokens == tokens.count
      else { return true }
      do throws(StoreError) {
        if let full = try pieces.append(tokens, entry) { try new.add(full.content) }
        return true
      } catch {
        failure = error
        return false
      }
    }
    withExtendedLifetime(addresses) {}
    if let failure { throw failure }
    try file.cancellation.check()
    if let last = try pieces.finish() { try new.add(last.content) }
    return wanted.values.flatMap { $0 }.sorted { $0.order < $1.order }
  }

  /// Moves a record out of service.
  private func move(_ key: Key, from table: Database, to newKey: Key? = nil) throws(StoreError) {
    try write { (transaction) throws(LMDBError) in
      if let bytes = try transaction.get(key, in: table) {
        try transaction.put(newKey ?? key, bytes.bytes.rawSpan, in: file.setAside)
      }
      try transaction.delete(key, in: table)
    }
  }

  /// Rebuilds the table of ids. Returns the number of sequences that it was built from.
  private func rebuildIDs() throws(StoreError) -> Int {
    var oldKeys: [[UInt8]] = []
    let reading = try file.beginReading()
    let entries = try entries(reading)
    do throws(LMDBError) {
      try reading.forEach(in: file.ids) { key, _ in
        oldKeys.append(key.bytes)
        return true
      }
    } catch {
      throw file.error(error)
    }
    _ = consume reading
    try write { (transaction) throws(LMDBError) in
      for key in oldKeys { try transaction.delete(Key(bytes: key), in: file.ids) }
      for entry in entries {
        guard let id = entry.id else { continue }
        let record = IDRecord(order: entry.order, digest: entry.outputDigest).encoded(id: id)
        try transaction.put(Key(id), record.rawSpan, in: file.ids)
      }
    }
    return entries.count
  }

  /// Rebuilds the groups. Returns the number of outputs in them.
  private func rebuildGroups() throws(StoreError) -> Int {
    let reading = try file.beginReading()
    var digests: [UInt64: UInt64] = [:]
    for entry in try entries(reading) { digests[entry.order] = entry.digest }
    _ = consume reading
    var kept = 0
    try write { (transaction) throws(LMDBError) in
      kept = try GroupTables(of: file).rebuild(transaction) { digests[$0] == $1 }
    }
    return kept
  }

  /// All sequences that are in service.
  private func entries(
    _ reading: borrowing ReadTransaction
  ) throws(StoreError) -> [SequenceTable.Entry] {
    var entries: [SequenceTable.Entry] = []
    for number in try file.segmentNumbers(reading) {
      try file.cancellation.check()
      guard let record = try file.segmentRecord(number, reading) else { continue }
      entries += try SegmentChunks(number, record, file).sequenceTable(reading)
    }
    return entries + (try file.loggedEntries(reading))
  }

  private func write(
    _ change: (borrowing WriteTransaction) throws(LMDBError) -> Void
  ) throws(StoreError) {
    let reading = try file.beginReading()
    let nextOrder = try file.state(reading).nextOrder
    _ = consume reading
    try file.write(nextOrder: nextOrder, change)
  }
}
