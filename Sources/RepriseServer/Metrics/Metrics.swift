import Concurrency
import NIOCore
import Synchronization
import WireProtocol

/// The counters of the running service.
final class Metrics: Sendable {
  private let total = Locked(Tally())
  let started = NIODeadline.now()

  private let opened = Atomic(0)
  private let closed = Atomic(0)
  private let scrapes = Atomic(0)
  private let reports = Locked(ClientReports())
  private let cut = Locked<[Cut: Int]>([:])

  /// The reason for which the service ended a connection.
  enum Cut: String, CaseIterable {
    case tooMany = "too_many"
    case lineTooLong = "line_too_long"
    case lineTooSlow = "line_too_slow"
    case memoryShort = "memory_short"
    case answersNotTaken = "answers_not_taken"
    case noToken = "no_token"
    case idle
  }

  /// Adds the counts of a connection, and sets them to zero.
  func take(_ tally: inout Tally) {
    if tally.isEmpty { return }
    total.withLock { $0.take(&tally) }
  }

  /// Adds a client's report, and returns the name under which it is counted.
  func take(_ report: ClientReport, of holder: String) -> String {
    reports.withLock { $0.take(report, of: holder) }
  }

  /// The sums of clients' reports, by their names.
  var clients: [(name: String, counts: ClientReports.Counts)] {
    reports.withLock { $0.counts }.map { ($0.key, $0.value) }.sorted { $0.name < $1.name }
  }

  var tally: Tally { total.withLock { $0 } }

  func noteOpened() { opened.add(1, ordering: .relaxed) }
  func noteClosed() { closed.add(1, ordering: .relaxed) }
  func note(_ reason: Cut) { cut.withLock { $0[reason, default: 0] += 1 } }

  /// Counts one more scrape, and returns the number of scrapes.
  func noteScrape() -> Int { scrapes.add(1, ordering: .relaxed).newValue }

  var connectionsOpened: Int { opened.load(ordering: .relaxed) }
  var connections: Int { connectionsOpened - closed.load(ordering: .relaxed) }
  var cuts: [Cut: Int] { cut.withLock { $0 } }
}
