import CorpusStore
import Drafting
import TreeService
import WireProtocol

/// A store in this process.
struct StoreAccess: HistoryAccess {
  let store: Store

  init(_ store: Store) {
    self.store = store
  }

  func corpus(_ name: String) throws -> Corpus {
    guard let corpus = try store.corpus(named: name) else { throw WireError.corpusNotFound(name) }
    return corpus
  }

  func createCorpus(_ call: CorpusCreate) async throws -> CorpusDescription {
    CorpusDescription(try store.createCorpus(named: call.corpus, CorpusSettings(call)))
  }

  func corpora() async throws -> [CorpusStatistics] {
    store.corpora().map(CorpusStatistics.init)
  }

  func stats(_ corpus: String) async throws -> CorpusStatistics {
    CorpusStatistics(try self.corpus(corpus))
  }

  func dropCorpus(_ name: String) async throws -> Bool { try store.dropCorpus(named: name) }

  func insert(
    _ sequences: [SequenceInsert.Sequence], into corpus: String
  ) async throws -> Inserted {
    let corpus = try self.corpus(corpus)
    let new = sequences.map { NewSequence(id: $0.id, tokens: $0.tokens) }
    let receipt: InsertReceipt = try await withCheckedThrowingContinuation { continuation in
      corpus.insert(new) { continuation.resume(with: $0) }
    }
    return Inserted(receipt)
  }

  func speculate(
    _ context: [Int32], corpus: String, _ options: DraftOptions
  ) async throws -> Draft {
    var scratch = DraftScratch()
    var draft = Draft()
    try self.corpus(corpus).speculate(context.span, options, using: &scratch, into: &draft)
    return draft
  }

  func openSession(
    corpus: String, prompt: [Int32], share: SessionOpen.Share
  ) async throws -> any SessionAccess {
    StoreSession(
      session: try self.corpus(corpus).openSession(
        prompt: prompt, share: SharePolicy(share)))
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
