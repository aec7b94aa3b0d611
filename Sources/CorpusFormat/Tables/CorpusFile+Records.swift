import Concurrency
import LMDB
import RepriseModel
import StoreErrors

/// The records of a file, each checked as it is read.
extension CorpusFile {
  /// The record of an id, or nil.
  ///
  /// - Throws: `corrupt` if the record is damaged.
  package func idRecord<Reading: Transaction & ~Copyable>(
    _ id: String, _ transaction: borrowing Reading
  ) throws(StoreError) -> IDRecord? {
    var record: IDRecord?
    do throws(LMDBError) {
      guard let bytes = try transaction.get(Key(id), in: ids) else { return nil }
      record = IDRecord(bytes, id: [UInt8](id.utf8).rawSpan)
    } catch {
      throw self.error(error)
    }
    guard let record else { throw .corrupt(what: "the record of id \"\(id)\"", where: path) }
    return record
  }

  /// A finished sequence of the log.
  ///
  /// - Throws: `corrupt` if it is missing or damaged.
  package func loggedSequence(
    _ order: UInt64, _ transaction: borrowing ReadTransaction
  ) throws(StoreError) -> SequenceRecord {
    var record: SequenceRecord?
    do throws(LMDBError) {
      if let bytes = try transaction.get(Key(order), in: log) {
        record = SequenceRecord(bytes, order: order)
      }
    } catch {
      throw self.error(error)
    }
    guard let record else { throw .corrupt(what: "sequence \(order) of the log", where: path) }
    return record
  }

  /// The entries of the log's sequences, without damaged ones.
  package func loggedEntries(
    _ transaction: borrowing ReadTransaction
  ) throws(StoreError) -> [SequenceTable.Entry] {
    var entries: [SequenceTable.Entry] = []
    do throws(LMDBError) {
      try transaction.forEach(in: log) { key, value in
        if let order = Key.number(key), let record = SequenceRecord(value, order: order) {
          entries.append(record.entry(order: order))
        }
        return true
      }
    } catch {
      throw self.error(error)
    }
    return entries
  }

  /// Names of the places that repairs have set aside.
  package func placesSetAside(
    _ transaction: borrowing ReadTransaction
  ) throws(StoreError) -> [String] {
    var places: [String] = []
    do throws(LMDBError) {
      try transaction.forEach(in: setAside) { key, _ in
        let kind = key.byteCount == 8 ? "segment" : "sequence"
        places.append("\(kind) \(Key.number(key) ?? 0)")
        return true
      }
    } catch {
      throw self.error(error)
    }
    return places
  }

  /// Segment numbers fit an `Int`, and are counted up from 1.
  package static let segmentNumberMax: UInt64 = 1 << 48

  /// The numbers in the keys of a table, or at their beginning; each once.
  package func numbers(
    _ table: Database, _ transaction: borrowing ReadTransaction
  ) throws(StoreError) -> [UInt64] {
    var numbers: [UInt64] = []
    do throws(LMDBError) {
      try transaction.forEach(in: table) { key, _ in
        if let number = Key.number(key), numbers.last != number { numbers.append(number) }
        return true
      }
    } catch {
      throw self.error(error)
    }
    return numbers
  }

  package func segmentNumbers(
    _ transaction: borrowing ReadTransaction
  ) throws(StoreError) -> [UInt64] {
    try numbers(segments, transaction)
  }

  /// A segment number that was never used.
  package func nextSegmentNumber(
    _ transaction: borrowing ReadTransaction
  ) throws(StoreError) -> UInt64 {
    var last: UInt64 = 0
    for table in [segments, setAside, chunks] {
      last = max(last, try numbers(table, transaction).last ?? 0)
    }
    return last + 1
  }

  /// The record of a segment, or nil if it is damaged.
  package func segmentRecord(
    _ number: UInt64, in table: Database? = nil, _ transaction: borrowing ReadTransaction
  ) throws(StoreError) -> SegmentRecord? {
    do throws(LMDBError) {
      guard number > 0, number < Self.segmentNumberMax,
        let bytes = try transaction.get(Key(number), in: table ?? segments)
      else { return nil }
      return SegmentRecord(bytes, segment: number)
    } catch {
      throw self.error(error)
    }
  }

  /// The size of the finished sequences, from their records.
  package func size() throws(StoreError) -> HistorySize {
    let transaction = try beginReading()
    var size = HistorySize()
    for number in try segmentNumbers(transaction) {
      guard let record = try segmentRecord(number, transaction) else {
        throw .corrupt(what: "the record of segment \(number)", where: path)
      }
      size += record.size
    }
    var damaged: UInt64?
    do throws(LMDBError) {
      try transaction.forEach(in: log) { key, value in
        guard let order = Key.number(key), let record = SequenceRecord(value, order: order) else {
          damaged = Key.number(key) ?? 0
          return false
        }
        size += record.size
        return !cancellation.isCancelled
      }
    } catch {
      throw self.error(error)
    }
    try cancellation.check()
    if let damaged { throw .corrupt(what: "sequence \(damaged) of the log", where: path) }
    return size
  }
}
