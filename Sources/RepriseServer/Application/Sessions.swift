import Concurrency
import CorpusStore
import HistoryEngine
import Logging
import NIOCore
import StoreErrors
import WireProtocol

/// The calls on sessions, and the ends of sessions that no client closes.
struct Sessions: Sendable {
  let corpora: Corpora
  let tables: SessionTables
  let resources: ResourceGauge
  /// The lease of a session that names none, in seconds.
  let leaseSeconds: Int
  /// Indexes long prompts.
  let prompts: WorkQueue
  /// Removes long outputs from the shared history.
  let disk: WorkQueue
  let logger: Logger

  /// Prompts of more tokens are indexed off the event loop: indexing this many takes some 0.2 ms.
  private static let promptTokensAtOnce = 4096
  /// If more tokens of an output leave the shared history, the removal runs off the event loop: it
  /// takes 1 µs a token.
  private static let sharedTokensAtOnce = 128

  // MARK: Opening

  func open(
    _ call: SessionOpen, in table: SessionTable, for owner: SessionOwner
  ) throws(WireError) -> Answer {
    // A group is read from the disk, and indexed like a prompt.
    if call.prompt.count <= Self.promptTokensAtOnce && call.group == nil {
      return .result(try opened(call, in: table, for: owner))
    }
    // Reserved before it waits in the queue, so that many prompts at once are not all admitted.
    let memory = try resources.reserveMemory(promptTokens: call.prompt.count)
    return .later(on: prompts) { [self] () throws(WireError) in
      try opened(call, in: table, for: owner, memory)
    }
  }

  /// Opens a session on the calling thread.
  func opened(
    _ call: SessionOpen, in table: SessionTable, for owner: SessionOwner
  ) throws(WireError) -> SessionOpened {
    let memory = try resources.reserveMemory(promptTokens: call.prompt.count)
    return try opened(call, in: table, for: owner, memory)
  }

  /// - Parameter memory: The reservation for the session, held until the session has taken its
  ///   memory.
  private func opened(
    _ call: SessionOpen, in table: SessionTable, for owner: SessionOwner,
    _ memory: MemoryBudget.Reservation
  ) throws(WireError) -> SessionOpened {
    defer { withExtendedLifetime(memory) {} }
    let corpus = try corpora.corpus(call.corpus)
    let group = try call.group.map { (name) throws(WireError) in
      try readGroup(name, of: corpus)
    }
    let groupMemory = try resources.reserveMemory(groupTokens: group?.tokenCount ?? 0)
    defer { withExtendedLifetime(groupMemory) {} }
    // The name is taken last: a refusal after this would keep it.
    let reservation = try table.reserve(
      call.session, promptTokens: call.prompt.count, for: owner)
    let parent = call.parent.flatMap(table.parked)
    let session = corpus.openSession(
      prompt: call.prompt, share: call.share, vocabulary: Int32(clamping: call.vocabulary),
      group: group, continuing: parent)
    guard table.add(session, reservation, leaseSeconds: call.ttlSeconds ?? leaseSeconds) else {
      throw .corpusNotFound(call.corpus)
    }
    // The connection may have ended in the meantime, without seeing this session.
    if owner.hasEnded { close(of: owner) }
    return SessionOpened(
      session: reservation.name, promptTokens: session.promptTokens,
      reusedTokens: session.reusedTokens)
  }

  private func readGroup(_ name: String, of corpus: Corpus) throws(WireError) -> GroupReading {
    do throws(StoreError) {
      return try corpus.group(named: name)
    } catch {
      throw WireError(error, corpus: corpus.name)
    }
  }

  // MARK: Steps

  /// Takes one of a call's steps; its draft is then in the caller's buffer.
  ///
  /// - Parameter place: The place of an accepted token in the request, if that is not a
  ///   `session.step`.
  static func step(
    _ call: SessionStep, _ position: Int, in table: SessionTable, _ caller: inout Caller,
    tokenAt place: ((Int) -> String)? = nil
  ) throws(WireError) {
    let step = call.steps[position]
    let session = try table.use(step.session, adding: step.accept.count, now: .now())
    do throws(StoreError) {
      let outcome = try session.step(
        accepting: call.tokens.span.extracting(step.accept), step.options,
        using: &caller.scratch, into: &caller.draft)
      caller.tally.noteStep(outputTokens: step.accept.count, outcome)
    } catch {
      throw WireError(
        error, session: step.session,
        tokenAt: place ?? { "params.steps[\(position)].accept[\($0)]" })
    }
  }

  // MARK: Closing

  func close(_ call: SessionClose, in table: SessionTable) throws(WireError) -> Answer {
    let session = try table.use(call.session, adding: 0, now: .now())
    let isLong = session.sharedTokens > Self.sharedTokensAtOnce
    return .later(
      LaterResult { [disk] completion in
        session.close(
          record: call.record,
          removing: { remove in if isLong { disk.run(remove) } else { remove() } },
          completion: { result in
            switch result {
            case .success(let receipt):
              table.park(session, call.session)
              completion(.success(receipt))
            case .failure(let error):
              completion(.failure(WireError(error, session: call.session)))
            }
          })
      })
  }

  // MARK: Sessions that no client closes

  /// Closes sessions whose lease has run out, as if their clients had: their outputs join the
  /// history.
  func close(endingBy now: NIODeadline) { record(endingBy: now, nil) }

  /// Closes all sessions. Returns when they are recorded.
  func closeAll() async {
    let group = CompletionGroup()
    record(endingBy: .distantFuture, group)
    await group.finish()
  }

  private func record(endingBy now: NIODeadline, _ group: CompletionGroup?) {
    for table in tables.all {
      for (name, session) in table.ended(by: now) { record(session, name, in: table, group) }
    }
  }

  /// Closes the sessions that end with a connection, as if its client had.
  func close(of owner: SessionOwner) {
    // Finding them means reading all open sessions.
    if owner.allowance.sessions == 0 { return }
    for table in tables.all {
      for (name, session) in table.owned(by: owner) { record(session, name, in: table, nil) }
    }
  }

  /// Closes one session, if it is open, as if its client had.
  func close(named name: String, in table: SessionTable) {
    if let session = table.session(name) { record(session, name, in: table, nil) }
  }

  private func record(
    _ session: DecodingSession, _ name: String, in table: SessionTable, _ group: CompletionGroup?
  ) {
    group?.enter()
    session.close(record: true) { [logger] result in
      switch result {
      case .success: table.park(session, name)
      // Closed already, by its client or by another end, which parks it when it is done.
      case .failure(.closed): break
      case .failure(let error):
        logger.error(
          "session could not be recorded",
          metadata: ["session": "\(name.excerpt)", "error": "\(error)"])
        table.park(session, name)
      }
      group?.leave()
    }
  }
}
