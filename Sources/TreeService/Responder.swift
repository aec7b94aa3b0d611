import CorpusStore
import Drafting
import Logging
import NIOCore
import WireProtocol

/// Carries calls out. What only reads memory is answered at once, by the caller's thread; what has
/// to wait for the disk, or is long, is answered through a completion.
package final class Responder: Sendable {
  let store: Store
  let sessions: SessionTable
  let options: ServiceOptions
  let logger: Logger
  private let started = NIODeadline.now()
  /// Runs the few calls that wait for the disk themselves: making and dropping corpora.
  let disk = WorkQueue()
  /// Runs what operators ask for: it reads or rewrites whole corpora, and takes seconds to minutes.
  let operations = WorkQueue(background: "reprise-operations")
  /// Reads long lines and indexes long prompts.
  private let long = WorkQueue(background: "reprise-prompts")
  private let longLines: LongLineReader

  /// Prompts of more tokens are indexed off the event loop: indexing so many takes some 0.2 ms.
  private static let promptTokensAtOnce = 4096

  package init(_ store: Store, _ options: ServiceOptions, _ logger: Logger) {
    self.store = store
    self.options = options
    self.logger = logger
    longLines = LongLineReader(reader: RequestReader(limits: options.limits))
    sessions = SessionTable(options)
  }

  /// What an answer to be given later will be.
  package typealias Completion = @Sendable (Result<any WireResult, WireError>) -> Void

  package enum Answer {
    /// Written between `beginResult` and `endResult`.
    case now
    case later
  }

  /// Carries a call out.
  ///
  /// - Parameters:
  ///   - scratch: The calling thread's.
  ///   - writer: Receives the members of the result when the answer is `now`.
  ///   - completion: Makes what is called when it is `later`, perhaps before this returns, and on any
  ///     thread. Calls that are answered at once make none.
  package func respond(
    to call: Call, _ scratch: inout ConnectionScratch, writer: inout JSONWriter,
    completion: () -> Completion
  ) throws(WireError) -> Answer {
    switch call {
    case .sessionStep(let call): step(call, &scratch, &writer)
    case .speculate(let call): try speculate(call, &scratch, &writer)
    case .sessionOpen(let call):
      if call.prompt.count > Self.promptTokensAtOnce {
        let completion = completion()
        long.run { [self] in
          do throws(WireError) {
            completion(.success(try open(call)))
          } catch {
            completion(.failure(error))
          }
        }
        return .later
      }
      try open(call).write(to: &writer)
    case .serverInfo: serverInfo.write(to: &writer)
    case .healthLive, .healthReady: Health(ok: true).write(to: &writer)
    case .corpusList:
      CorpusList(corpora: store.corpora().map(CorpusStatistics.init)).write(to: &writer)
    case .corpusStats(let name): CorpusStatistics(try corpus(name)).write(to: &writer)
    case .sequenceInsert(let call):
      try insert(call, completion())
      return .later
    case .sessionClose(let call):
      try close(call, completion())
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
      listSnapshots(ofCorpus: corpus, completion())
      return .later
    case .snapshotVerify(let reference):
      verifySnapshot(reference, completion())
      return .later
    case .snapshotDelete(let name):
      deleteSnapshot(name, completion())
      return .later
    case .snapshotRestore(let call):
      restoreSnapshot(call, completion())
      return .later
    }
    return .now
  }

  /// Reads a line that would hold up an event loop.
  ///
  /// - Parameter completion: Is called on another thread.
  func readLong(_ line: ByteBuffer, completion: @escaping @Sendable (RequestLine) -> Void) {
    long.run { [longLines] in completion(longLines.reader.read(line)) }
  }

  // MARK: The service

  private var serverInfo: ServerInfo {
    ServerInfo(
      version: repriseVersion,
      limits: Dictionary(uniqueKeysWithValues: options.limits.named.map { ($0.name, $0.value) }),
      uptimeSeconds: Double((NIODeadline.now() - started).nanoseconds / 1_000_000) / 1000)
  }

  // MARK: Drafts

  private func speculate(
    _ call: Speculate, _ scratch: inout ConnectionScratch, _ writer: inout JSONWriter
  ) throws(WireError) {
    let corpus = try corpus(call.corpus)
    if call.isBatch { DraftList.begin(&writer) }
    for context in call.contexts {
      do throws(StoreError) {
        try corpus.speculate(
          call.tokens.span.extracting(context), call.options, using: &scratch.drafting,
          into: &scratch.draft)
      } catch {
        let error = WireError(error, corpus: call.corpus)
        if !call.isBatch { throw error }
        DraftList.write(error, to: &writer)
        continue
      }
      if call.isBatch {
        DraftList.write(scratch.draft, to: &writer)
      } else {
        scratch.draft.write(to: &writer)
      }
    }
    if call.isBatch { DraftList.end(&writer) }
  }

  private func step(
    _ call: SessionStep, _ scratch: inout ConnectionScratch, _ writer: inout JSONWriter
  ) {
    let now = NIODeadline.now()
    DraftList.begin(&writer)
    for step in call.steps {
      guard let session = sessions.use(step.session, now: now) else {
        DraftList.write(.sessionNotFound(step.session), to: &writer)
        continue
      }
      do throws(StoreError) {
        try session.step(
          accepting: call.tokens.span.extracting(step.accept), step.options,
          using: &scratch.drafting, into: &scratch.draft)
        DraftList.write(scratch.draft, to: &writer)
      } catch {
        DraftList.write(WireError(error, session: step.session), to: &writer)
      }
    }
    DraftList.end(&writer)
  }

  // MARK: Sessions

  private func open(_ call: SessionOpen) throws(WireError) -> SessionOpened {
    let corpus = try corpus(call.corpus)
    let name: String
    do throws(SessionTable.Refusal) {
      name = try sessions.reserve(call.session)
    } catch {
      switch error {
      case .full:
        throw .limit(
          "sessions", max: options.limits.sessionsMax, got: options.limits.sessionsMax + 1,
          "the number of open sessions")
      case .taken:
        throw WireError(
          .conflict,
          "session \"\(call.session ?? "")\" is open already; close it, or choose another name",
          ["id": .text(call.session ?? "")])
      }
    }
    // Both have the wire's spelling.
    let share = SharePolicy(rawValue: call.share.rawValue) ?? .live
    let parent = call.parent.flatMap(sessions.parked)
    let session = corpus.openSession(
      prompt: call.prompt, share: share,
      continuing: parent?.corpus === corpus ? parent : nil)
    sessions.add(session, name, leaseSeconds: call.ttlSeconds ?? options.sessionSeconds)
    return SessionOpened(
      session: name, promptTokens: session.promptTokens, reusedTokens: session.reusedTokens)
  }

  private func close(_ call: SessionClose, _ completion: @escaping Completion) throws(WireError) {
    guard let session = sessions.use(call.session, now: .now()) else {
      throw .sessionNotFound(call.session)
    }
    session.close(record: call.record) { [sessions] result in
      switch result {
      case .success(let receipt):
        sessions.park(call.session)
        completion(
          .success(SessionClosed(recordedTokens: receipt.recordedTokens, order: receipt.order)))
      case .failure(let error):
        completion(.failure(WireError(error, session: call.session)))
      }
    }
  }

  /// Closes sessions whose lease has run out, or all of them, as if their clients had: what they
  /// wrote is history.
  ///
  /// - Parameter done: Called once, when all of them are recorded.
  func closeSessions(
    endingBy now: NIODeadline, done: @escaping @Sendable () -> Void = {}
  ) {
    let group = CompletionGroup(done)
    for (name, session) in sessions.ended(by: now) {
      group.enter()
      session.close(record: true) { [sessions, logger] result in
        if case .failure(let error) = result {
          logger.error(
            "session could not be recorded",
            metadata: ["session": "\(name)", "error": "\(error)"])
        }
        sessions.park(name)
        group.leave()
      }
    }
    group.leave()
  }

  // MARK: Sequences

  private func insert(
    _ call: SequenceInsert, _ completion: @escaping Completion
  ) throws(WireError) {
    let corpus = try corpus(call.corpus)
    if let tokenizer = call.tokenizer, tokenizer != corpus.settings.tokenizer {
      let expected = corpus.settings.tokenizer ?? "none"
      throw WireError(
        .tokenizerMismatch,
        "corpus \(corpus.name) holds tokens of tokenizer \(expected), not \(tokenizer); token ids "
          + "of different tokenizers must not meet, use another corpus",
        ["expected": .text(expected), "got": .text(tokenizer)])
    }
    let sequences = call.sequences.map { NewSequence(id: $0.id, tokens: $0.tokens) }
    corpus.insert(sequences) { result in
      switch result {
      case .success(let receipt): completion(.success(Inserted(receipt)))
      case .failure(let error): completion(.failure(WireError(error, corpus: call.corpus)))
      }
    }
  }
}

/// The reader of the queue for what is long.
private struct LongLineReader: @unchecked Sendable {
  // @unchecked Sendable: used by that queue's one thread alone.
  let reader: RequestReader
}

extension RequestReader {
  func read(_ line: ByteBuffer) -> RequestLine {
    unsafe line.withUnsafeReadableBytes { bytes in
      // SAFETY: the span is used within the closure only.
      unsafe read(RawSpan(_unsafeBytes: bytes))
    }
  }
}
