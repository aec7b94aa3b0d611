import Foundation
import RepriseClient
import RepriseModel
import TestSupport
import Testing
import WireProtocol

/// Acknowledged sequences survive SIGKILL, exactly once, and drafts afterwards are the oracle's.
@Suite(.serialized) struct KillTests {
  static let kills = Effort.count(50, atLeast: 10)

  /// Sequences that were acknowledged, and those whose fate is unknown because the service died.
  actor Ledger {
    private(set) var acknowledged: [String: [Int32]] = [:]
    private(set) var sent: [String: [Int32]] = [:]
    private var waiting: (count: Int, continuation: CheckedContinuation<Void, Never>)?

    func willSend(_ sequences: [NewSequence]) {
      for sequence in sequences { sent[sequence.id!] = sequence.tokens }
    }

    func didAcknowledge(_ sequences: [NewSequence]) {
      for sequence in sequences { acknowledged[sequence.id!] = sequence.tokens }
      if let waiting, acknowledged.count >= waiting.count {
        self.waiting = nil
        waiting.continuation.resume()
      }
    }

    func wait(forAcknowledged count: Int) async {
      if acknowledged.count >= count { return }
      await withCheckedContinuation { waiting = (count, $0) }
    }
  }

  /// Inserts from several tasks until the service is gone.
  static func insertUntilKilled(_ client: RepriseClient, _ ledger: Ledger, round: Int) async {
    await withTaskGroup(of: Void.self) { group in
      for writer in 0..<3 {
        group.addTask {
          var generator = SeededGenerator(
            seed: Effort.seed &* 1000 &+ UInt64(round * 10 + writer))
          for number in 0... {
            let sequences = (0..<Int.random(in: 1...4, using: &generator)).map { part in
              NewSequence(
                id: "\(round)-\(writer)-\(number)-\(part)",
                tokens: generator.tokens(
                  count: Int.random(in: 1...40, using: &generator), alphabet: 30))
            }
            await ledger.willSend(sequences)
            do {
              try await client.insert(sequences, into: "c")
            } catch {
              return
            }
            await ledger.didAcknowledge(sequences)
          }
        }
      }
    }
  }

  @Test func acknowledgedSequencesSurviveSIGKILL() async throws {
    let service = try RepriseProcess()
    let ledger = Ledger()
    var generator = SeededGenerator(seed: Effort.seed)
    // Small segments: kills fall into sealing and merging as well as into commits.
    let arguments = ["--seal-tokens", "1000"]
    for round in 0..<Self.kills {
      try service.start(arguments)
      let client = service.client()
      if round == 0 { try await client.createCorpus("c", CorpusSettings(depth: 12)) }
      let inserting = Task { await Self.insertUntilKilled(client, ledger, round: round) }
      let before = await ledger.acknowledged.count
      await ledger.wait(forAcknowledged: before + Int.random(in: 1...60, using: &generator))
      #expect(service.end(SIGKILL) == SIGKILL)
      await inserting.value
      await client.close()
    }

    try service.start(arguments)
    let client = service.client()
    // Every acknowledged sequence is there with its tokens: repeating it is a duplicate.
    let acknowledged = await ledger.acknowledged
    let sent = await ledger.sent
    let before = try await client.stats(ofCorpus: "c")
    let repeated = try await client.insert(
      acknowledged.map { NewSequence(id: $0.key, tokens: $0.value) }, into: "c")
    #expect(repeated.duplicates == acknowledged.count && repeated.inserted == 0)

    // The others, whose answer was lost, are there completely or not at all. Repeating them shows
    // which.
    var present = acknowledged
    for (id, tokens) in sent where acknowledged[id] == nil {
      let answer = try await client.insert(
        [NewSequence(id: id, tokens: tokens)], into: "c")
      if answer.duplicates == 1 { present[id] = tokens }
    }
    #expect(before.sequences == present.count)
    #expect(before.tokens == present.values.reduce(0) { $0 + $1.count })

    // Exactly once: by now all sent sequences are there, and drafts are those of an oracle with
    // them.
    let oracle = NGramOracle(depth: 12, sequences: Array(sent.values))
    let contexts = (0..<200).map { _ in generator.tokens(count: 6, alphabet: 30) }
    let drafts = try await client.speculate(contexts: contexts, corpus: "c")
    for (context, draft) in zip(contexts, drafts) {
      let draft = try draft.get()
      let expected = NaiveDrafter().draft(from: oracle, context: context)
      #expect(draft.tokens == expected.tokens && draft.counts == expected.counts, "\(context)")
    }
    print(
      "killed \(Self.kills) times: \(acknowledged.count) sequences acknowledged, "
        + "\(sent.count - acknowledged.count) in doubt, \(before.segments) segments")
    await client.close()
    #expect(service.end(SIGTERM) == 0)
  }

  /// The recorded output of a session is acknowledged as well.
  @Test func recordedSessionsSurviveSIGKILL() async throws {
    let service = try RepriseProcess()
    try service.start()
    var client = service.client()
    try await client.createCorpus("c")
    let session = try await client.openSession(corpus: "c", prompt: [1])
    _ = try await session.step(accepting: [5, 6, 7])
    try await session.close()
    let open = try await client.openSession(corpus: "c", prompt: [1])
    _ = try await open.step(accepting: [8, 9])
    // While the connection is open: the session would end with it, and be recorded.
    #expect(service.end(SIGKILL) == SIGKILL)
    await client.close()
    try service.start()
    client = service.client()
    #expect(try await client.speculate([5, 6], corpus: "c").tokens == [7])
    // A session that was never closed was never promised.
    #expect(try await client.stats(ofCorpus: "c").tokens == 4)
    await client.close()
    #expect(service.end(SIGTERM) == 0)
  }
}
