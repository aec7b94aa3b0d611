import CorpusFormat
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

/// Other processes that read a corpus's file, as a check does.
struct ReaderWatch: Sendable {
  let stored: StoredHistory
  let conditions: StandingConditions

  /// The number of commits that may pass while another process reads one state before the log names
  /// it.
  private static let transactionsBehindMax = 1000

  /// The number of other processes that have a read transaction.
  var count: Int {
    let own = getpid()
    let readers = stored.fileUnlessClosed?.environment.readers() ?? []
    return Set(readers.filter { $0.process != own && $0.transaction != nil }.map(\.process)).count
  }

  /// Other processes that have a read transaction.
  var others: [OtherReader] {
    guard let environment = stored.fileUnlessClosed?.environment else { return [] }
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

  /// Frees the reader slots of processes that were killed, and reports processes that read for
  /// long.
  ///
  /// - Returns: The number of slots that were freed.
  func lookAfter() -> Int {
    let freed = (try? stored.fileUnlessClosed?.environment.freeSlotsOfDeadProcesses()) ?? 0
    let slow = others.filter { $0.transactionsBehind > Self.transactionsBehindMax }
    if slow.isEmpty {
      conditions.clear(.reading, corpus: stored.corpus)
    } else {
      let names = slow.map { "\($0) reads the state of \($0.transactionsBehind) commits ago" }
      conditions.raise(
        .reading, corpus: stored.corpus,
        cause: "\(names.joined(separator: ", ")); the file grows until that has ended")
    }
    return freed
  }
}
