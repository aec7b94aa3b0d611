import Concurrency
import CorpusStore
import Logging
import NIOCore
import WireProtocol

/// Opening and closing sessions.
extension Responder {
  /// Prompts of more tokens are indexed off the event loop: indexing this many takes some 0.2 ms.
  private static let promptTokensAtOnce = 4096
  /// If more tokens of an output leave the shared history, the removal runs off the event loop: it
  /// takes 1 µs a token.
  private static let sharedTokensAtOnce = 128

  func open(
    _ call: SessionOpen, _ table: SessionTable, for owner: SessionOwner,
    _ writer: inout JSONWriter, _ completion: () -> Completion
  ) throws(WireError) -> Answer {
    if call.prompt.count <= Self.promptTokensAtOnce {
      try open(call, table, for: owner).write(to: &writer)
      return .now
    }
    // Reserved before it waits in the queue, so that many prompts at once are not all admitted.
    let memory = try resources.reserveMemory(promptTokens: call.prompt.count)
    let completion = completion()
    prompts.run { [self] in
      do throws(WireError) {
        completion(.success(try open(call, table, for: owner, memory)))
      } catch {
        completion(.failure(error))
      }
    }
    return .later
  }

  /// Opens a session on the calling thread.
  func open(
    _ call: SessionOpen, _ table: SessionTable, for owner: SessionOwner
  ) throws(WireError) -> SessionOpened {
    let memory = try resources.reserveMemory(promptTokens: call.prompt.count)
    return try open(call, table, for: owner, memory)
  }

  /// - Parameter memory: The reservation for the session, held until the session has taken its
  ///   memory.
  private func open(
    _ call: SessionOpen, _ table: SessionTable, for owner: SessionOwner,
    _ memory: MemoryBudget.Reservation
  ) throws(WireError) -> SessionOpened {
    defer { withExtendedLifetime(memory) {} }
    let corpus = try corpus(call.corpus)
    let reservation = try table.reserve(
      call.session, promptTokens: call.prompt.count, for: owner)
    let parent = call.parent.flatMap(table.parked)
    let session = corpus.openSession(
      prompt: call.prompt, share: call.share, vocabulary: Int32(clamping: call.vocabulary),
      continuing: parent?.corpus === corpus ? parent : nil)
    let leaseSeconds = call.ttlSeconds ?? options.sessionSeconds
    guard table.add(session, reservation, leaseSeconds: leaseSeconds) else {
      throw .corpusNotFound(call.corpus)
    }
    // The connection may have ended in the meantime, without seeing this session.
    if owner.hasEnded { closeSessions(of: owner) }
    return SessionOpened(
      session: reservation.name, promptTokens: session.promptTokens,
      reusedTokens: session.reusedTokens)
  }

  func close(
    _ call: SessionClose, _ table: SessionTable, _ completion: @escaping Completion
  ) throws(WireError) {
    let session = try table.use(call.session, adding: 0, now: .now())
    let isLong = session.sharedTokens > Self.sharedTokensAtOnce
    session.close(
      record: call.record,
      removing: { [disk] remove in if isLong { disk.run(remove) } else { remove() } },
      completion: { result in
        switch result {
        case .success(let receipt):
          table.park(session, call.session)
          completion(.success(receipt))
        case .failure(let error):
          completion(.failure(WireError(error, session: call.session)))
        }
      })
  }

  // MARK: Sessions that no client closes

  /// Closes sessions whose lease has run out, as if their clients had: their outputs join the
  /// history.
  func closeSessions(endingBy now: NIODeadline) { record(endingBy: now, nil) }

  /// Closes all sessions. Returns when they are recorded.
  func closeAllSessions() async {
    let group = CompletionGroup()
    record(endingBy: .distantFuture, group)
    await group.finish()
  }

  private func record(endingBy now: NIODeadline, _ group: CompletionGroup?) {
    for table in sessions.all {
      for (name, session) in table.ended(by: now) { record(session, name, of: table, group) }
    }
  }

  /// Closes the sessions that end with a connection, as if its client had.
  func closeSessions(of owner: SessionOwner) {
    // Finding them means reading all open sessions.
    if owner.allowance.sessions == 0 { return }
    for table in sessions.all {
      for (name, session) in table.owned(by: owner) { record(session, name, of: table, nil) }
    }
  }

  /// Closes one session, if it is open, as if its client had.
  func closeSession(_ name: String, of table: SessionTable) {
    if let session = table.session(name) { record(session, name, of: table, nil) }
  }

  private func record(
    _ session: DecodingSession, _ name: String, of table: SessionTable, _ group: CompletionGroup?
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
