import ArgumentParser
import CorpusStore
import Drafting
import Foundation
import RepriseClient
import WireProtocol

/// Where a command finds its history: behind a socket, or in a store's directory that no service
/// has open.
struct HistoryOptions: ParsableArguments {
  @Option(help: "Socket of a running service. [env: REPRISE_SOCKET]")
  var socket: String?

  @Option(help: "Directory of a store that no service has open.")
  var store: String?

  func validate() throws {
    if socket != nil && store != nil {
      throw ValidationError("--socket and --store exclude each other; give one of them")
    }
  }

  /// The socket that is named here or in the environment.
  var socketOrDefault: String? {
    store == nil ? socket ?? ProcessInfo.processInfo.environment["REPRISE_SOCKET"] : nil
  }

  func open() throws -> any HistoryAccess {
    if let store {
      var options = StoreOptions()
      options.compactsInBackground = true
      return StoreAccess(try Store(path: store, options: options))
    }
    guard let socket = socketOrDefault else {
      throw ValidationError("name a service with --socket PATH, or a store with --store DIR")
    }
    return ServiceAccess(socket: socket)
  }
}

/// What commands do with a history, wherever it is.
protocol HistoryAccess: Sendable {
  func createCorpus(_ name: String, tokenizer: String?, depth: Int) async throws
    -> CorpusDescription
  func corpora() async throws -> [CorpusStatistics]
  func stats(_ corpus: String) async throws -> CorpusStatistics
  func dropCorpus(_ name: String) async throws -> Bool
  func insert(_ sequences: [SequenceInsert.Sequence], into corpus: String) async throws -> Inserted
  func speculate(_ context: [Int32], corpus: String, _ options: DraftOptions) async throws -> Draft
  func openSession(corpus: String, prompt: [Int32], share: SessionOpen.Share) async throws
    -> any SessionAccess
  /// Ends the access; what was inserted is on disk.
  func close() async
}

/// How long the two halves of a step took.
struct StepTimes {
  /// Adding the accepted tokens; nil where one exchange does both.
  var acceptMicros: Double?
  /// Drafting, or the whole exchange.
  var draftMicros: Double
}

protocol SessionAccess {
  func step(accepting tokens: [Int32], _ options: DraftOptions, into draft: inout Draft)
    async throws -> StepTimes
  func close() async throws
}

// MARK: A service

struct ServiceAccess: HistoryAccess {
  private let client: RepriseClient

  init(socket: String) {
    var configuration = RepriseClient.Configuration()
    // A person waits; a worker would not.
    configuration.deadline = .seconds(10)
    configuration.writeDeadline = .seconds(600)
    client = RepriseClient(.unixSocket(path: socket), configuration: configuration)
  }

  func createCorpus(
    _ name: String, tokenizer: String?, depth: Int
  ) async throws -> CorpusDescription {
    try await client.createCorpus(name, tokenizer: tokenizer, depth: depth)
  }

  func corpora() async throws -> [CorpusStatistics] { try await client.corpora() }

  func stats(_ corpus: String) async throws -> CorpusStatistics {
    try await client.stats(ofCorpus: corpus)
  }

  func dropCorpus(_ name: String) async throws -> Bool {
    try await client.dropCorpus(name).dropped
  }

  func insert(
    _ sequences: [SequenceInsert.Sequence], into corpus: String
  ) async throws -> Inserted {
    try await client.insert(sequences, into: corpus)
  }

  func speculate(
    _ context: [Int32], corpus: String, _ options: DraftOptions
  ) async throws -> Draft {
    try await client.speculate(context, corpus: corpus, options)
  }

  func openSession(
    corpus: String, prompt: [Int32], share: SessionOpen.Share
  ) async throws -> any SessionAccess {
    ServiceSession(
      session: try await client.openSession(corpus: corpus, prompt: prompt, share: share))
  }

  func close() async { await client.close() }
}

private struct ServiceSession: SessionAccess {
  let session: RepriseClient.Session

  func step(
    accepting tokens: [Int32], _ options: DraftOptions, into draft: inout Draft
  ) async throws -> StepTimes {
    let start = ContinuousClock.now
    draft = try await session.step(accepting: tokens, options)
    return StepTimes(acceptMicros: nil, draftMicros: micros(since: start))
  }

  func close() async throws { try await session.close() }
}

// MARK: A store in this process

struct StoreAccess: HistoryAccess {
  let store: Store

  init(_ store: Store) {
    self.store = store
  }

  private func corpus(_ name: String) throws -> Corpus {
    guard let corpus = store.corpus(named: name) else { throw WireError.corpusNotFound(name) }
    return corpus
  }

  func createCorpus(
    _ name: String, tokenizer: String?, depth: Int
  ) async throws -> CorpusDescription {
    let corpus = try store.createCorpus(
      named: name, CorpusSettings(depth: depth, tokenizer: tokenizer))
    return CorpusDescription(
      corpus: corpus.name, tokenizer: corpus.settings.tokenizer, depth: corpus.settings.depth)
  }

  func corpora() async throws -> [CorpusStatistics] { store.corpora().map(statistics) }

  func stats(_ corpus: String) async throws -> CorpusStatistics {
    statistics(try self.corpus(corpus))
  }

  private func statistics(_ corpus: Corpus) -> CorpusStatistics {
    CorpusStatistics(
      corpus.name, tokenizer: corpus.settings.tokenizer, depth: corpus.settings.depth,
      corpus.stats())
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
    return Inserted(
      inserted: receipt.inserted, duplicates: receipt.duplicates, tokens: receipt.tokens,
      lastOrder: receipt.lastOrder)
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
        prompt: prompt, share: SharePolicy(rawValue: share.rawValue) ?? .live))
  }

  func close() async { store.close() }
}

private final class StoreSession: SessionAccess {
  private let session: DecodingSession
  private var scratch = DraftScratch()

  init(session: DecodingSession) {
    self.session = session
  }

  /// In two calls, so that each half has its own time.
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

func micros(_ duration: Duration) -> Double {
  let (seconds, attoseconds) = duration.components
  return Double(seconds) * 1e6 + Double(attoseconds) / 1e12
}

func micros(since start: ContinuousClock.Instant) -> Double { micros(ContinuousClock.now - start) }
