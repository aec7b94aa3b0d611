import Foundation
import LMDB
import TestSupport
import Testing

/// A directory of its own, in memory if the system has such a place, removed with the last
/// reference.
final class ScratchDirectory {
  let path: String

  init() throws {
    let base =
      FileManager.default.isWritableFile(atPath: "/dev/shm")
      ? "/dev/shm" : FileManager.default.temporaryDirectory.path
    path = "\(base)/reprise-lmdb-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  var dataPath: String { "\(path)/data.mdb" }

  func data() throws -> [UInt8] { [UInt8](try Data(contentsOf: URL(fileURLWithPath: dataPath))) }

  func write(_ bytes: [UInt8]) throws {
    try Data(bytes).write(to: URL(fileURLWithPath: dataPath))
  }
}

/// Series of changes like LMDB's use here and beyond: small and large values, large keys, several
/// tables, transactions that end without commit, tables that become empty.
struct RandomSeries {
  var generator: SeededGenerator
  let tables = 3

  init(seed: UInt64) { generator = SeededGenerator(seed: seed) }

  /// Makes one transaction of changes. Returns whether it was committed.
  mutating func step(_ environment: Environment, changesMax: Int = 60) throws -> Bool {
    let transaction = try WriteTransaction(environment)
    for _ in 0..<(1 + generator.draw(changesMax)) {
      let table = try transaction.createDatabase("table\(generator.draw(tables))")
      let key = Key(bytes: drawKey())
      switch generator.draw(5) {
      case 0, 1: try transaction.delete(key, in: table)
      case 2 where generator.draw(20) == 0: try clear(table, transaction)
      default: try transaction.put(key, unsafe drawValue().span.bytes, in: table)
      }
    }
    if generator.draw(8) == 0 { return false }
    try transaction.commit()
    return true
  }

  private func clear(_ table: Database, _ transaction: borrowing WriteTransaction) throws {
    var keys: [[UInt8]] = []
    try transaction.forEach(in: table) { key, _ in
      keys.append(bytes(key))
      return true
    }
    for key in keys { try transaction.delete(Key(bytes: key), in: table) }
  }

  private mutating func drawKey() -> [UInt8] {
    let count =
      switch generator.draw(10) {
      case 0: 511
      case 1: 1
      case 2, 3: 100 + generator.draw(300)
      default: 1 + generator.draw(12)
      }
    // Few different keys, so that many are overwritten and found again.
    let byte = UInt8(generator.draw(40))
    return [UInt8](repeating: byte, count: count - 1) + [UInt8(generator.draw(6))]
  }

  private mutating func drawValue() -> [UInt8] {
    let count =
      switch generator.draw(12) {
      case 0: generator.draw(60_000)
      case 1, 2: 1500 + generator.draw(3000)
      default: generator.draw(200)
      }
    return [UInt8](repeating: UInt8(generator.draw(256)), count: count)
  }
}

/// The number of entries in the tables of a `RandomSeries`, all of them read through LMDB.
func countEntries(
  _ transaction: borrowing some Transaction & ~Copyable
) throws(LMDBError) -> Int {
  var entries = 0
  for number in 0..<3 {
    guard let table = try transaction.database("table\(number)") else { continue }
    var bytesRead = 0
    try transaction.forEach(in: table) { key, value in
      entries += 1
      bytesRead += bytes(key).count + bytes(value).count
      return true
    }
  }
  return entries
}
