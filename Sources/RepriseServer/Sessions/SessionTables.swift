import Concurrency
import CorpusStore
import NIOCore

/// The tables of all holders, including those whose access token was removed: their sessions end
/// with their leases.
final class SessionTables: Sendable {
  private let tables = Locked<[SessionTable]>([])
  /// The number of sessions and tokens in all of them.
  let allowance: SessionAllowance
  let parked: ParkedSessions

  init(_ options: ServiceOptions, _ memory: MemoryBudget, freeing: WorkQueue) {
    allowance = .ofService(options.limits)
    parked = ParkedSessions(options, memory, freeing: freeing)
  }

  func add() -> SessionTable {
    let table = SessionTable(allowance, parked)
    tables.withLock { $0.append(table) }
    return table
  }

  var all: [SessionTable] { tables.withLock { $0 } }

  func forget(corpus: Corpus) {
    for table in all { table.forget(corpus: corpus) }
    parked.forget(corpus: corpus)
  }
}
