import Access
import Concurrency
import CorpusStore
import Logging
import NIOCore
import RepriseModel
import WireProtocol

/// Executes calls for callers who are authorised to make them.
///
/// Each noun of the protocol has a type with the handlers of its methods, and `answer` is the table
/// from method to handler. Nothing here knows sockets, lines or HTTP.
package final class Application: Sendable {
  let limits: Limits
  let access: AccessControl
  let metrics = Metrics()
  let resources: ResourceGauge
  let threads = ServiceThreads()

  let service: Service
  let corpora: Corpora
  let sequences: Sequences
  let drafts: Drafts
  let sessions: Sessions
  let snapshots: Snapshots
  let operations: Operations

  private let store: Store

  package init(
    _ store: Store, _ options: ServiceOptions, _ logger: Logger
  ) throws(AccessFile.Mistake) {
    self.store = store
    limits = options.limits
    let tables = SessionTables(options, store.memory, freeing: threads.lines)
    access = try AccessControl(path: options.accessFile, tables)
    resources = ResourceGauge(store, limits)
    operations = Operations(threads.operations, logger)
    let errors = StoreErrors(logger: logger)
    service = Service(
      limits, access, metrics, MetricsReport(store, tables, resources, metrics, limits),
      store.conditions, reports: threads.reports, logger)
    corpora = Corpora(
      store: store, corporaMax: limits.corporaMax, sessions: tables, disk: threads.disk,
      operations: operations, errors: errors, logger: logger)
    sequences = Sequences(
      corpora: corpora, resources: resources, operations: operations, errors: errors)
    drafts = Drafts(corpora: corpora)
    sessions = Sessions(
      corpora: corpora, tables: tables, resources: resources,
      leaseSeconds: options.sessionSeconds, prompts: threads.prompts, disk: threads.disk,
      logger: logger)
    snapshots = Snapshots(store: store, corpora: corpora, operations: operations, errors: errors)
  }

  /// Returns the state of a new connection.
  package func newCaller() -> Caller { Caller(access.everybody, limits) }

  // MARK: Calls

  /// Carries a call out, or refuses it.
  package func answer(_ call: Call, for caller: inout Caller) throws(WireError) -> Answer {
    guard let principal = caller.principal, let grant = principal.grant else {
      return try answerToAnybody(call, &caller)
    }
    try principal.takeRequest(limits, now: .now())
    try grant.check(call.access)
    return switch call {
    case .serverInfo, .serverAuthenticate, .healthLive, .healthReady:
      try answerToAnybody(call, &caller)
    case .serverMetrics: service.metricsText()
    case .clientReport(let report): service.take(report, of: grant)
    case .corpusCreate(let call): try corpora.create(call)
    case .corpusList: corpora.list(for: grant)
    case .corpusStats(let corpus): try corpora.statistics(of: corpus)
    case .corpusDrop(let call): try corpora.drop(call)
    case .corpusMerge(let call): try corpora.merge(call)
    case .sequenceInsert(let call): try sequences.insert(call)
    case .sequenceForget(let call): try sequences.forget(call)
    case .speculate(let call): try drafts.speculate(call)
    case .sessionOpen(let call):
      try sessions.open(call, in: principal.sessions, for: caller.owner)
    case .sessionStep(let call): .drafts(DraftRun(call, in: principal.sessions))
    case .sessionClose(let call): try sessions.close(call, in: principal.sessions)
    case .snapshotCreate(let call): try snapshots.create(call)
    case .snapshotList(let corpus): snapshots.list(ofCorpus: corpus, for: grant)
    case .snapshotVerify(let snapshot): snapshots.verify(snapshot, for: grant)
    case .snapshotDelete(let name): snapshots.delete(name, for: grant)
    case .snapshotRestore(let call): snapshots.restore(call, for: grant)
    }
  }

  /// Answers callers who have not authenticated.
  private func answerToAnybody(
    _ call: Call, _ caller: inout Caller
  ) throws(WireError) -> Answer {
    switch call {
    case .serverInfo: service.info()
    case .serverAuthenticate(let call): try service.authenticate(call, &caller)
    case .healthLive: service.live()
    case .healthReady: service.ready()
    default: throw .tokenNeeded
    }
  }

  // MARK: Upkeep

  /// Closes sessions whose lease is over, and reads memory and disk usage. Called once a second.
  func lookAfter(at now: NIODeadline) {
    sessions.close(endingBy: now)
    threads.disk.run { [self] in
      let parked = sessions.tables.parked
      parked.removeExpired(at: .now())
      // Sessions kept for later chat turns go first.
      let excess = resources.memory.excess
      if excess > 0 { parked.remove(bytes: excess) }
      parked.returnFreedMemory()
      resources.memory.refresh()
      resources.look()
      store.lookAfter()
    }
  }
}
