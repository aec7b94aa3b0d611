import Foundation
import LMDB

/// Another process that reads a corpus's file.
public struct OtherReader: Equatable, Sendable, CustomStringConvertible {
  /// The id of the process.
  public let process: Int32
  /// The program's name; nil if it is unknown.
  public let command: String?
  /// Commits since the state that it reads.
  public let transactionsBehind: Int

  /// For example "process 4711 (reprise)".
  public var description: String { "process \(process)" + (command.map { " (\($0))" } ?? "") }

  fileprivate init(process: Int32, transactionsBehind: Int) {
    self.process = process
    self.transactionsBehind = transactionsBehind
    let name = try? String(contentsOfFile: "/proc/\(process)/comm", encoding: .utf8)
    command = name.map { $0.trimmingCharacters(in: .whitespacesAndNewlines) }
  }
}

extension CorpusFile {
  /// The number of other processes that have a read transaction.
  var otherReaderCount: Int {
    let own = getpid()
    return Set(
      environment.readers().filter { $0.process != own && $0.transaction != nil }.map(\.process)
    ).count
  }

  /// Other processes that have a read transaction, for example a check.
  var otherReaders: [OtherReader] {
    let own = getpid()
    let last = environment.usage().lastTransaction
    var oldest: [Int32: Int] = [:]
    for reader in environment.readers() where reader.process != own {
      guard let transaction = reader.transaction else { continue }
      oldest[reader.process] = min(oldest[reader.process] ?? .max, transaction)
    }
    return oldest.sorted { $0.key < $1.key }.map {
      OtherReader(process: $0.key, transactionsBehind: max(0, last - $0.value))
    }
  }
}
