import Access
import Concurrency
import CorpusStore
import Logging
import NIOCore
import RepriseModel
import Synchronization
import WireProtocol

/// Executes calls for callers who are authorised to make them. Calls that only read memory are
/// answered at once, on the caller's thread; calls that wait for the disk, or are long, are
/// answered through a completion.
package final class Responder: Sendable {
  let store: Store
  let sessions: SessionTables
  let access: AccessControl
  let options: ServiceOptions
  let resources: ResourceGauge
  let metrics = Metrics()
  /// The operator's call that is being carried out, as the log names it when it is done.
  let operationUnderWay = Locked<String?>(nil)
  private let phase = Atomic(Phase.starting.rawValue)
  let logger: Logger
  private let started = NIODeadline.now()
  /// Runs the few calls that wait for the disk themselves, creating and dropping corpora, and
  /// removes long outputs from the shared history. It has the niceness of writers, which must not
  /// wait behind others: the holder of a corpus's lock must not lose its core to other threads.
  let disk = WorkQueue("reprise-disk", .ordinary)
  /// Runs calls of operators: they read or rewrite whole corpora, and take seconds to minutes.
  let operations = WorkQueue("reprise-ops")
  /// Indexes long prompts.
  let prompts = WorkQueue("reprise-prompts")
  /// Reads long lines, and frees large buffers. It is not the thread of prompts, because a line of
  /// steps must not wait for those.
  private let lines = WorkQueue("reprise-lines")
  /// Writes the text of metrics: it reads every corpus and files of the kernel.
  let reports = WorkQueue("reprise-reports")
  /// Reads lines on the thread for long ones. Nothing else takes its lock.
  private let longLines: Locked<RequestReader>
  /// Work of other threads for connections. Its results go to the event loops of the connections,
  /// which must not end before it is done.
  let workElsewhere = CompletionGroup()

  package init(
    _ store: Store, _ options: ServiceOptions, _ logger: Logger
  ) throws(AccessFile.Mistake) {
    self.store = store
    self.options = options
    self.logger = Logger(label: logger.label) { _ in BoundedLog(logger.handler) }
    longLines = Locked(RequestReader(limits: options.limits))
    sessions = SessionTables(options, store.memory, freeing: lines)
    access = try AccessControl(path: options.accessFile, sessions)
    resources = ResourceGauge(store, options.limits)
  }

  /// Returns the state of a new connection.
  package func beginConnection() -> Caller {
    Caller(access.everybody, options.limits)
  }

  /// Receives the result of an answer that is given later.
  package typealias Completion = @Sendable (Result<any WireResult, WireError>) -> Void

  package enum Answer {
    /// The result is written, between `beginResult` and `endResult`.
    case now
    case later
    /// The result is begun: the caller's quantum is over before it is complete. No other request of
    /// the caller may begin until it is, so that calls are carried out in their order.
    case interrupted(DraftRun)
  }

  /// Carries a call out.
  ///
  /// - Parameters:
  ///   - caller: The state of the connection.
  ///   - writer: Receives the members of the result when the answer is `now`.
  ///   - completion: Creates the callback of an answer that is `later`; the callback may be called
  ///     before this returns, and on any thread. Calls that are answered at once create none.
  package func respond(
    to call: Call, _ caller: inout Caller, writer: inout JSONWriter,
    completion: () -> Completion
  ) throws(WireError) -> Answer {
    if caller.isBeyondLimit && !call.isForOperators {
      caller.wasRefused = true
      metrics.note(.tooMany)
      logger.warning(
        "connection refused: there are too many",
        metadata: ["connections": "\(options.limits.connectionsMax)", "peer": "\(caller.peer)"])
      throw .tooManyConnections(max: options.limits.connectionsMax)
    }
    guard let principal = caller.principal, let grant = principal.grant else {
      try respondToAnybody(call, &caller, writer: &writer)
      return .now
    }
    try principal.takeRequest(options.limits, now: .now())
    try grant.check(call.access)
    switch call {
    case .sessionStep(let call): return begin(DraftRun(call, of: principal), &caller, &writer)
    case .speculate(let call): return try speculate(call, &caller, &writer)
    case .sessionOpen(let call):
      return try open(call, principal.sessions, for: caller.owner, &writer, completion)
    case .serverInfo, .healthLive, .healthReady, .serverAuthenticate:
      try respondToAnybody(call, &caller, writer: &writer)
    case .clientReport(let report):
      ClientReported(client: metrics.take(report, of: grant.name)).write(to: &writer)
    case .corpusList:
      let corpora = store.corpora().filter { grant.covers(corpus: $0.name) }
      CorpusList(corpora: corpora.map { $0.stats() }).write(to: &writer)
    case .serverMetrics:
      let completion = completion()
      reports.run { [self] in completion(.success(ServerMetrics(text: metricsText()))) }
      return .later
    case .corpusStats(let name): try corpus(name).stats().write(to: &writer)
    case .sequenceInsert(let call):
      try insert(call, completion())
      return .later
    case .sessionClose(let call):
      try close(call, principal.sessions, completion())
      return .later
    case .corpusCreate(let call):
      try create(call, completion)
      return .later
    case .corpusDrop(let call):
      try drop(call, completion)
      return .later
    case .corpusMerge(let call):
      try merge(call, completion)
      return .later
    case .sequenceForget(let call):
      try forget(call, completion)
      return .later
    case .snapshotCreate(let call):
      try createSnapshot(call, completion)
      return .later
    case .snapshotList(let corpus):
      listSnapshots(ofCorpus: corpus, grant, completion())
      return .later
    case .snapshotVerify(let reference):
      verifySnapshot(reference, grant, completion())
      return .later
    case .snapshotDelete(let name):
      deleteSnapshot(name, grant, completion())
      return .later
    case .snapshotRestore(let call):
      restoreSnapshot(call, grant, completion())
      return .later
    }
    return .now
  }

  /// Answers callers who have not authenticated.
  private func respondToAnybody(
    _ call: Call, _ caller: inout Caller, writer: inout JSONWriter
  ) throws(WireError) {
    switch call {
    case .serverInfo: serverInfo.write(to: &writer)
    case .healthLive: Health(ok: true).write(to: &writer)
    case .healthReady: Health(ok: awaited.isEmpty, awaited: awaited).write(to: &writer)
    case .serverAuthenticate(let call): try authenticate(call, &caller).write(to: &writer)
    default: throw .tokenNeeded
    }
  }

  private func authenticate(
    _ call: ServerAuthenticate, _ caller: inout Caller
  ) throws(WireError) -> Authenticated {
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
    return Authenticated(
      name: grant.name, rights: grant.rights.names, corpora: grant.corpora.map(\.description))
  }

  /// Reads a line that would block an event loop for too long.
  ///
  /// - Parameter completion: Called on another thread.
  func readLong(_ line: Line, completion: @escaping @Sendable (RequestLine) -> Void) {
    lines.run { [longLines] in
      let line = line.joined()
      completion(longLines.withLock { $0.read(line) })
    }
  }

  /// Frees a line without an end: freeing megabytes would block an event loop for too long.
  func free(_ lines: consuming LineBuffer) {
    guard lines.count > ConnectionHandler.lineBytesAtOnce else { return }
    // In a box, so that it is freed there, whichever thread releases the closure last.
    let box = Locked(lines)
    self.lines.run { box.withLock { $0 = LineBuffer() } }
  }

  /// Reads memory and disk usage. Called once a second.
  func lookAtResources() {
    disk.run { [self] in
      sessions.parked.removeExpired(at: .now())
      // Sessions kept for later chat turns go first.
      let excess = resources.memory.excess
      if excess > 0 { sessions.parked.remove(bytes: excess) }
      sessions.parked.returnFreedMemory()
      resources.memory.refresh()
      resources.look()
      store.lookAfter()
    }
  }

  // MARK: The service

  /// Ends the threads, after what they are doing. What waits for them is dropped.
  func stop() async {
    for queue in [disk, operations, prompts, lines, reports] { await queue.stop() }
  }

  /// Conditions that must be met before requests are answered normally; the service stops being
  /// ready before it stops.
  var awaited: [String] {
    switch phase.load(ordering: .relaxed) {
    // Each kind appears once, for any number of corpora.
    case Phase.ready.rawValue:
      Set(store.conditions.preventingReadiness.map(\.kind.summary)).sorted()
    case Phase.starting.rawValue: ["the start"]
    default: ["another start: the service is stopping"]
    }
  }

  private enum Phase: Int { case starting, ready, stopping }

  func setReady() { phase.store(Phase.ready.rawValue, ordering: .relaxed) }
  var isStopping: Bool { phase.load(ordering: .relaxed) == Phase.stopping.rawValue }
  func setStopping() { phase.store(Phase.stopping.rawValue, ordering: .relaxed) }

  private var serverInfo: ServerInfo {
    ServerInfo(
      version: repriseVersion,
      limits: Dictionary(
        uniqueKeysWithValues: Limit.all.map { ($0.name, options.limits[keyPath: $0.keyPath]) }),
      eventLoopLineBytes: ConnectionHandler.lineBytesAtOnce,
      uptimeSeconds: Double((NIODeadline.now() - started).nanoseconds / 1_000_000) / 1000)
  }

  // MARK: Drafts

  private func speculate(
    _ call: Speculate, _ caller: inout Caller, _ writer: inout JSONWriter
  ) throws(WireError) -> Answer {
    let corpus = try corpus(call.corpus)
    if call.isBatch { return begin(DraftRun(call, of: corpus), &caller, &writer) }
    try DraftRun.draft(call, 0, of: corpus, &caller)
    caller.tally.note(caller.draft)
    caller.draft.write(to: &writer)
    return .now
  }

  private func begin(
    _ run: DraftRun, _ caller: inout Caller, _ writer: inout JSONWriter
  ) -> Answer {
    var run = run
    return run.goOn(&caller, &writer) ? .now : .interrupted(run)
  }

  // MARK: Sequences

  private func insert(
    _ call: SequenceInsert, _ completion: @escaping Completion
  ) throws(WireError) {
    let corpus = try corpus(call.corpus)
    try resources.refuseInserts(options.limits)
    if let tokenizer = call.tokenizer, tokenizer != corpus.settings.tokenizer {
      let expected = corpus.settings.tokenizer ?? "none"
      throw WireError(
        .tokenizerMismatch,
        "corpus \(corpus.name) holds tokens of tokenizer \(expected.excerpt), not \(tokenizer.excerpt); token "
          + "ids of different tokenizers must not be mixed, use another corpus",
        ["expected": .text(expected), "got": .text(tokenizer)])
    }
    corpus.insert(call.sequences) { [self] result in
      switch result {
      case .success(let receipt): completion(.success(receipt))
      case .failure(let error): completion(.failure(wireError(error, corpus: call.corpus)))
      }
    }
  }
}

extension RequestReader {
  func read(_ line: ByteBuffer) -> RequestLine {
    unsafe line.withUnsafeReadableBytes { bytes in
      // SAFETY: the span is used within the closure only.
      unsafe read(RawSpan(_unsafeBytes: bytes))
    }
  }
}

extension Call {
  /// True if the call may be made through a connection beyond the limit: calls that report on the
  /// service, and those that make room.
  fileprivate var isForOperators: Bool {
    switch self {
    case .sessionOpen, .sessionStep, .sessionClose, .speculate, .sequenceInsert, .corpusCreate:
      false
    default: true
    }
  }
}
