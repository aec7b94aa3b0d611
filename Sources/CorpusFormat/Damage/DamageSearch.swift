import Concurrency
import LMDB
import StoreErrors
import SuffixIndex

/// The damage of a corpus's file: what a repair has to replace.
package struct DamageSearch {
  /// Descriptions of the damage.
  package private(set) var found: [String] = []
  package let file: CorpusFile
  /// Segments with at least one damaged chunk.
  package private(set) var segments: [SegmentChunks] = []
  /// Segments whose record cannot be read.
  package private(set) var records: [UInt64] = []
  /// Damaged sequences of the log.
  package private(set) var sequences: [UInt64] = []
  package private(set) var idsAreDamaged = false
  package private(set) var groupsAreDamaged = false

  /// Searches the file for damage.
  package init(_ file: CorpusFile, _ transaction: borrowing ReadTransaction) throws(StoreError) {
    self.file = file
    try examineSegments(transaction)
    try examineLog(transaction)
    try examineIDs(transaction)
    try examineGroups(transaction)
  }

  private mutating func examineSegments(
    _ transaction: borrowing ReadTransaction
  ) throws(StoreError) {
    for number in try file.segmentNumbers(transaction) {
      guard let record = try file.segmentRecord(number, transaction) else {
        records.append(number)
        found.append("the record of segment \(number)")
        continue
      }
      let chunks = SegmentChunks(number, record, file)
      let damaged = try chunks.damaged(transaction)
      if damaged.isEmpty {
        do throws(StoreError) {
          // The header is read here in the same way as when the segment is served.
          _ = try Segment(number, record, in: file, transaction, mark: DamageMark())
          continue
        } catch {
          found.append("\(error)")
        }
      } else {
        let list = damaged.prefix(8).map(String.init).joined(separator: ", ")
        found.append("chunk \(list)\(damaged.count > 8 ? ", …" : "") of segment \(number)")
      }
      segments.append(chunks)
    }
  }

  private mutating func examineLog(
    _ transaction: borrowing ReadTransaction
  ) throws(StoreError) {
    var damaged: [UInt64] = []
    do throws(LMDBError) {
      try transaction.forEach(in: file.log) { key, value in
        if file.cancellation.isCancelled { return false }
        guard let order = Key.number(key), key.byteCount == 8 else { return true }
        if SequenceRecord(value, order: order) == nil { damaged.append(order) }
        return true
      }
    } catch {
      throw file.error(error)
    }
    try file.cancellation.check()
    sequences = damaged
    found += damaged.map { "sequence \($0) of the log" }
  }

  private mutating func examineIDs(
    _ transaction: borrowing ReadTransaction
  ) throws(StoreError) {
    var damaged = 0
    do throws(LMDBError) {
      try transaction.forEach(in: file.ids) { key, value in
        if file.cancellation.isCancelled { return false }
        if IDRecord(value, id: key) == nil { damaged += 1 }
        return true
      }
    } catch {
      throw file.error(error)
    }
    try file.cancellation.check()
    if damaged > 0 { found.append("\(damaged) records of ids") }
    idsAreDamaged = damaged > 0
  }

  private mutating func examineGroups(
    _ transaction: borrowing ReadTransaction
  ) throws(StoreError) {
    let damaged = try GroupTables(of: file).damagedRecords(transaction)
    if damaged > 0 { found.append("\(damaged) records of groups") }
    groupsAreDamaged = damaged > 0
  }

  /// Checks all data of a file of doubtful origin from which calls will be answered: a forged
  /// checksum would hide wrong data.
  package static func checkIndexes(of file: CorpusFile) throws(StoreError) {
    let transaction = try file.beginReading()
    let damage = try DamageSearch(file, transaction)
    if let found = damage.found.first { throw .corrupt(what: found, where: file.path) }
    for number in try file.segmentNumbers(transaction) {
      let segment = try file.segment(number, transaction, mark: DamageMark())
      do throws(SealedIndex.CheckError) {
        try segment.index.checkStructure { [cancellation = file.cancellation] in
          cancellation.isCancelled
        }
      } catch {
        if error == .cancelled { throw .cancelled }
        throw .corrupt(what: "segment \(number), \(error),", where: file.path)
      }
    }
  }
}
