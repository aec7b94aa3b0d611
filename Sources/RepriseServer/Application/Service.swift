import Access
import Concurrency
import CorpusStore
import Logging
import NIOCore
import RepriseModel
import Synchronization
import WireProtocol

/// The calls about the service itself: its limits, state and metrics, and the tokens and reports that
/// clients present.
final class Service: Sendable {
  private let limits: Limits
  private let access: AccessControl
  private let metrics: Metrics
  private let report: MetricsReport
  private let conditions: StandingConditions
  /// Writes the text of metrics: it reads every corpus and files of the kernel.
  private let reports: WorkQueue
  private let logger: Logger
  private let started = NIODeadline.now()
  private let phase = Atomic(Phase.starting.rawValue)

  init(
    _ limits: Limits, _ access: AccessControl, _ metrics: Metrics, _ report: MetricsReport,
    _ conditions: StandingConditions, reports: WorkQueue, _ logger: Logger
  ) {
    self.limits = limits
    self.access = access
    self.metrics = metrics
    self.report = report
    self.conditions = conditions
    self.reports = reports
    self.logger = logger
  }

  // MARK: Calls

  func info() -> Answer {
    .result(
      ServerInfo(
        version: repriseVersion,
        limits: Dictionary(
          uniqueKeysWithValues: Limit.all.map { ($0.name, limits[keyPath: $0.keyPath]) }),
        eventLoopLineBytes: Self.eventLoopLineBytes,
        uptimeSeconds: Double((NIODeadline.now() - started).nanoseconds / 1_000_000) / 1000))
  }

  /// The longest line that an event loop reads itself: reading this many bytes takes half a quantum. A
  /// step of 64 sessions has 4 to 7 KB.
  static let eventLoopLineBytes = 1 << 14

  func live() -> Answer { .result(Health(ok: true)) }

  func ready() -> Answer { .result(Health(ok: awaited.isEmpty, awaited: awaited)) }

  func authenticate(
    _ call: ServerAuthenticate, _ caller: inout Caller
  ) throws(WireError) -> Answer {
    if access.path == nil {
      throw WireError(
        .unauthorized, "this service has no access file, so there are no tokens; leave it out",
        ["needs": .text("no token")])
    }
    guard let principal = access.holder(ofToken: call.token), let grant = principal.grant else {
      logger.notice("access token not known", metadata: ["peer": "\(caller.peer)"])
      throw WireError(
        .unauthorized,
        "the access token is not one that this service knows; ask the keeper of its "
          + "access file", ["needs": .text("token")])
    }
    caller.principal = principal
    logger.debug(
      "authenticated", metadata: ["peer": "\(caller.peer)", "holder": "\(grant.name)"])
    return .result(
      Authenticated(
        name: grant.name, rights: grant.rights.names, corpora: grant.corpora.map(\.description)))
  }

  func take(_ report: ClientReport, of grant: Grant) -> Answer {
    .result(ClientReported(client: metrics.take(report, of: grant.name)))
  }

  func metricsText() -> Answer {
    .later(
      LaterResult { [self] completion in
        writeMetrics { completion(.success(ServerMetrics(text: $0))) }
      })
  }

  /// Writes the text of metrics on another thread.
  func writeMetrics(_ completion: @escaping @Sendable (String) -> Void) {
    reports.run { [report] in completion(report.text()) }
  }

  // MARK: State

  /// Conditions that must be met before requests are answered normally; the service stops being
  /// ready before it stops.
  var awaited: [String] {
    switch phase.load(ordering: .relaxed) {
    // Each kind appears once, for any number of corpora.
    case Phase.ready.rawValue:
      Set(conditions.preventingReadiness.map(\.kind.summary)).sorted()
    case Phase.starting.rawValue: ["the start"]
    default: ["another start: the service is stopping"]
    }
  }

  private enum Phase: Int { case starting, ready, stopping }

  func setReady() { phase.store(Phase.ready.rawValue, ordering: .relaxed) }
  var isStopping: Bool { phase.load(ordering: .relaxed) == Phase.stopping.rawValue }
  func setStopping() { phase.store(Phase.stopping.rawValue, ordering: .relaxed) }

  /// Notes that no connection can be accepted.
  func cannotAccept(cause: String) {
    conditions.raise(.accepting, cause: cause, tolerated: .zero)
  }

  /// Notes that connections are accepted again.
  func accepts() { conditions.clear(.accepting) }
}
