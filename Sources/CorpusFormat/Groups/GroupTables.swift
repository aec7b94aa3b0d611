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

  /// The content of both tables, as far as it is intact.
  package struct Content {
    package struct Output {
      package let order: UInt64
      package let group: String
      /// XXH3 of all tokens.
      package let digest: UInt64
    }

    /// By rising order number.
    package fileprivate(set) var outputs: [Output] = []
    /// Descriptions of what is damaged, or does not agree.
    package fileprivate(set) var damage: [String] = []
    fileprivate var outputKeys: [[UInt8]] = []
    fileprivate var groupKeys: [[UInt8]] = []
  }

  /// Reads both tables.
  package func content(
    _ transaction: borrowing ReadTransaction
  ) throws(StoreError) -> Content {
    var content = Content()
    var listed: [String: GroupRecord] = [:]
    do throws(LMDBError) {
      try transaction.forEach(in: file.groupOutputs) { key, value in
        content.outputKeys.append(key.bytes)
        if let order = Key.number(key), let output = GroupOutputRecord(value, order: order) {
          content.outputs.append(
            Content.Output(
              order: order, group: output.group, digest: checksum(output.tokens.rawSpan)))
          listed[output.group, default: GroupRecord()].orders.append(order)
        } else {
          content.damage.append("output \(Key.number(key) ?? 0) of a group")
        }
        return !file.cancellation.isCancelled
      }
      try transaction.forEach(in: file.groups) { key, value in
        content.groupKeys.append(key.bytes)
        let name = String(decoding: key.bytes, as: UTF8.self)
        let record = listed.removeValue(forKey: name)
        if record == nil || GroupRecord(value, name: key) != record {
          content.damage.append("the list of group \"\(name)\"")
        }
        return !file.cancellation.isCancelled
      }
    } catch {
      throw file.error(error)
    }
    try file.cancellation.check()
    content.damage += listed.keys.sorted().map { "the list of group \"\($0)\"" }
    return content
  }

  /// Replaces both tables by what is intact in them.
  ///
  /// - Parameter isKnown: Returns true if the sequence of an output exists.
  /// - Returns: The number of outputs that were kept.
  package func rebuild(
    from content: Content, _ transaction: borrowing WriteTransaction,
    where isKnown: (Content.Output) -> Bool
  ) throws(LMDBError) -> Int {
    for name in content.groupKeys { try transaction.delete(Key(bytes: name), in: file.groups) }
    let kept = content.outputs.filter(isKnown)
    let keptOrders = Set(kept.map(\.order))
    for key in content.outputKeys where !keptOrders.contains(Key.number(key.rawSpan) ?? .max) {
      try transaction.delete(Key(bytes: key), in: file.groupOutputs)
    }
    for output in kept { try list(output.order, in: output.group, transaction) }
    return kept.count
  }
}
