import Concurrency
import LMDB
import RepriseModel
import StoreErrors

/// The tables `groups` and `group_outputs` of a corpus: the newest outputs of each group, once more
/// and as they were inserted, so that a session finds them without a search in segments.
///
/// A damaged record is treated as missing: it costs drafts, and no sequence.
package struct GroupTables {
  private let file: CorpusFile

  package init(of file: CorpusFile) { self.file = file }

  // MARK: Reading

  /// The newest outputs of a group, as many as a session drafts from.
  package func outputs(
    of name: String, _ transaction: borrowing ReadTransaction
  ) throws(StoreError) -> OutputGroup {
    var group = OutputGroup(name: name)
    var tokens = 0
    do throws(LMDBError) {
      for order in try record(of: name, transaction).orders.reversed() {
        guard let output = try output(order, transaction), output.group == name else { continue }
        tokens += output.tokens.count
        if tokens > OutputGroup.tokensMax { break }
        group.outputs.append(output.tokens)
      }
    } catch {
      throw file.error(error)
    }
    group.outputs.reverse()
    return group
  }

  private func record<Reading: Transaction & ~Copyable>(
    of name: String, _ transaction: borrowing Reading
  ) throws(LMDBError) -> GroupRecord {
    guard let bytes = try transaction.get(Key(name), in: file.groups) else { return GroupRecord() }
    return GroupRecord(bytes, name: [UInt8](name.utf8).rawSpan) ?? GroupRecord()
  }

  private func output<Reading: Transaction & ~Copyable>(
    _ order: UInt64, _ transaction: borrowing Reading
  ) throws(LMDBError) -> GroupOutputRecord? {
    guard let bytes = try transaction.get(Key(order), in: file.groupOutputs) else { return nil }
    return GroupOutputRecord(bytes, order: order)
  }

  // MARK: Writing

  /// Adds an output to a group. The oldest leaves if there are too many.
  package func add(
    _ order: UInt64, _ tokens: [Int32], to name: String,
    _ transaction: borrowing WriteTransaction
  ) throws(LMDBError) {
    let output = GroupOutputRecord(group: name, tokens: tokens).encoded(order: order)
    try transaction.put(Key(order), output.rawSpan, in: file.groupOutputs)
    try list(order, in: name, transaction)
  }

  private func list(
    _ order: UInt64, in name: String, _ transaction: borrowing WriteTransaction
  ) throws(LMDBError) {
    var record = try record(of: name, transaction)
    record.orders.append(order)
    while record.orders.count > OutputGroup.outputsMax {
      try transaction.delete(Key(record.orders.removeFirst()), in: file.groupOutputs)
    }
    try transaction.put(Key(name), record.encoded(name: name).rawSpan, in: file.groups)
  }

  /// Removes a sequence from its group, if it is in one.
  func remove(
    _ order: UInt64, _ transaction: borrowing WriteTransaction
  ) throws(LMDBError) {
    let name = try output(order, transaction)?.group
    try transaction.delete(Key(order), in: file.groupOutputs)
    guard let name else { return }
    var record = try record(of: name, transaction)
    record.orders.removeAll { $0 == order }
    if record.orders.isEmpty {
      try transaction.delete(Key(name), in: file.groups)
    } else {
      try transaction.put(Key(name), record.encoded(name: name).rawSpan, in: file.groups)
    }
  }

  // MARK: Checks and repair

  /// The number of records that are damaged, or do not agree: each output is in the list of its group,
  /// and in no other one.
  ///
  /// - Complexity: Reads all records, and keeps none.
  func damagedRecords(_ transaction: borrowing ReadTransaction) throws(StoreError) -> Int {
    var (damaged, listed) = (0, 0)
    var failure: LMDBError?
    do throws(LMDBError) {
      try transaction.forEach(in: file.groups) { key, value in
        guard let record = GroupRecord(value, name: key) else {
          damaged += 1
          return !file.cancellation.isCancelled
        }
        let name = String(decoding: key.bytes, as: UTF8.self)
        do throws(LMDBError) {
          for order in record.orders {
            if try output(order, transaction)?.group == name { listed += 1 } else { damaged += 1 }
          }
        } catch {
          failure = error
        }
        return failure == nil && !file.cancellation.isCancelled
      }
      if let failure { throw failure }
      damaged += try max(0, transaction.count(file.groupOutputs) - listed)
    } catch {
      throw file.error(error)
    }
    try file.cancellation.check()
    return damaged
  }

  /// The number of outputs in all groups.
  package func outputCount(
    _ transaction: borrowing ReadTransaction
  ) throws(StoreError) -> Int {
    do throws(LMDBError) {
      return try transaction.count(file.groupOutputs)
    } catch {
      throw file.error(error)
    }
  }

  /// The XXH3 of all tokens of an output; nil if no group has it, or it is damaged.
  package func outputDigest(
    _ order: UInt64, _ transaction: borrowing ReadTransaction
  ) throws(StoreError) -> UInt64? {
    do throws(LMDBError) {
      return try output(order, transaction).map { checksum($0.tokens.rawSpan) }
    } catch {
      throw file.error(error)
    }
  }

  /// Replaces both tables by the outputs that are intact.
  ///
  /// - Parameter isKnown: Returns true if a sequence has this order number, and tokens with this
  ///   XXH3.
  /// - Returns: The number of outputs that were kept.
  package func rebuild(
    _ transaction: borrowing WriteTransaction,
    where isKnown: (_ order: UInt64, _ digest: UInt64) -> Bool
  ) throws(LMDBError) -> Int {
    var kept: [(order: UInt64, group: String)] = []
    var removed: [[UInt8]] = []
    try transaction.forEach(in: file.groupOutputs) { key, value in
      if let order = Key.number(key), let output = GroupOutputRecord(value, order: order),
        isKnown(order, checksum(output.tokens.rawSpan))
      {
        kept.append((order, output.group))
      } else {
        removed.append(key.bytes)
      }
      return true
    }
    for key in removed { try transaction.delete(Key(bytes: key), in: file.groupOutputs) }
    var names: [[UInt8]] = []
    try transaction.forEach(in: file.groups) { key, _ in
      names.append(key.bytes)
      return true
    }
    for name in names { try transaction.delete(Key(bytes: name), in: file.groups) }
    for output in kept { try list(output.order, in: output.group, transaction) }
    return kept.count
  }
}
