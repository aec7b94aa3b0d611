import CorpusStore
import HistoryEngine
import RepriseModel
import WireProtocol

/// A store in this process.
struct StoreAccess: HistoryAccess {
  let store: Store

  init(_ store: Store) {
    self.store = store
  }

  func corpus(_ name: CorpusName) throws -> Corpus {
    guard let corpus = try store.corpus(named: name) else { throw WireError.corpusNotFound(name) }
    return corpus
  }

  func createCorpus(_ call: CorpusCreate) async throws -> CorpusDescription {
    let corpus = try store.createCorpus(named: call.corpus, call.settings)
    return CorpusDescription(corpus: corpus.name, settings: corpus.settings)
  }

  func corpora() async throws -> [CorpusStatistics] {
    store.corpora().map { $0.stats() }
  }

  func stats(_ corpus: CorpusName) async throws -> CorpusStatistics {
    try self.corpus(corpus).stats()
  }

  func dropCorpus(_ name: CorpusName) async throws -> Bool { try store.dropCorpus(named: name) }

  func insert(
    _ sequences: [NewSequence], into corpus: CorpusName
  ) async throws -> InsertReceipt {
    let corpus = try self.corpus(corpus)
    return try await withCheckedThrowingContinuation { continuation in
      corpus.insert(sequences) { continuation.resume(with: $0) }
    }
  }

  func speculate(
    _ context: [Int32], corpus: CorpusName, _ options: DraftOptions
  ) async throws -> Draft {
    var scratch = DraftScratch()
    var draft = Draft()
    try self.corpus(corpus).speculate(context.span, options, using: &scratch, into: &draft)
    return draft
  }

  func openSession(
    corpus: CorpusName, prompt: [Int32], group: String?, share: SharePolicy
  ) async throws -> any SessionAccess {
    let corpus = try self.corpus(corpus)
    return StoreSession(
      session: corpus.openSession(
        prompt: prompt, share: share, group: try group.map(corpus.group)))
  }

  func close() async { store.close() }
}

private final class StoreSession: SessionAccess {
  private let session: DecodingSession
  private var scratch = DraftScratch()

  init(session: DecodingSession) {
    self.session = session
  }

  /// Uses two calls, so that each half has its own time.
  func step(
    accepting tokens: [Int32], _ options: DraftOptions, into draft: inout Draft
  ) async throws -> StepTimes {
    let start = ContinuousClock.now
    var none = options
    none.maxTokens = 0
    try session.step(accepting: tokens.span, none, using: &scratch, into: &draft)
    let accepted = ContinuousClock.now
    try session.step(accepting: [Int32]().span, options, using: &scratch, into: &draft)
    return StepTimes(
      acceptMicros: micros(accepted - start), draftMicros: micros(since: accepted))
  }

  func close() async throws {
    try await withCheckedThrowingContinuation {
      (continuation: CheckedContinuation<Void, any Error>) in
      session.close(record: true) { continuation.resume(with: $0.map { _ in }) }
    }
  }
}
