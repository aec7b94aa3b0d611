import RepriseClient
import RepriseModel
import WireProtocol

/// A service behind a socket.
struct ServiceAccess: HistoryAccess {
  let client: RepriseClient

  init(_ address: RepriseClient.Address, token: String?, tls: RepriseClient.TLS?) {
    var configuration = RepriseClient.Configuration()
    // A person can wait longer than a worker.
    configuration.deadline = .seconds(10)
    configuration.writeDeadline = .seconds(600)
    configuration.operationDeadline = .seconds(86_400)
    configuration.accessToken = token
    configuration.tls = tls
    client = RepriseClient(address, configuration: configuration)
  }

  func createCorpus(_ call: CorpusCreate) async throws -> CorpusDescription {
    try await client.createCorpus(call.corpus, call.settings)
  }

  func corpora() async throws -> [CorpusStatistics] { try await client.corpora() }

  func stats(_ corpus: CorpusName) async throws -> CorpusStatistics {
    try await client.stats(ofCorpus: corpus)
  }

  func dropCorpus(_ name: CorpusName) async throws -> Bool {
    try await client.dropCorpus(name).dropped
  }

  func insert(
    _ sequences: [NewSequence], into corpus: CorpusName
  ) async throws -> InsertReceipt {
    try await client.insert(sequences, into: corpus)
  }

  func speculate(
    _ context: [Int32], corpus: CorpusName, _ options: DraftOptions
  ) async throws -> Draft {
    try await client.speculate(context, corpus: corpus, options)
  }

  func openSession(
    corpus: CorpusName, prompt: [Int32], group: String?, share: SharePolicy
  ) async throws -> any SessionAccess {
    ServiceSession(
      session: try await client.openSession(
        corpus: corpus, prompt: prompt, group: group, share: share))
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
