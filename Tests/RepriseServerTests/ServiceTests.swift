import CorpusStore
import Foundation
import Glibc
import Logging
import RepriseClient
import RepriseModel
import RepriseServer
import TestSupport
import Testing
import UnixSocket
import WireProtocol

/// The service over a real socket: its answers, its access rules, and its treatment of misbehaving
/// clients.
@Suite struct ServiceTests {
  func kind(_ body: () async throws -> Void) async -> ErrorKind? {
    do {
      try await body()
      return nil
    } catch ClientError.service(let error) {
      return error.kind
    } catch {
      return nil
    }
  }

  // MARK: The whole protocol

  @Test func workersShareOneHistory() async throws {
    try await withService { fixture in
      let other = RepriseClient(.unixSocket(path: fixture.socket), configuration: .patient)
      let first = try await fixture.client.openSession(corpus: "c", prompt: [1, 2])
      let second = try await other.openSession(corpus: "c", prompt: [9])
      _ = try await first.step(accepting: [5, 6, 7, 8])
      // Tokens that one session has accepted are drafted by the other immediately.
      let draft = try await second.step(accepting: [5, 6])
      #expect(draft.tokens == [7, 8])
      #expect(draft.source == .shared && draft.matchLength == 2)
      #expect(draft.probs == [0.5, 0.5], "its own output is an occurrence too")
      let closed = try await first.close()
      #expect(closed.recordedTokens == 4 && closed.order == 0)
      #expect(try await second.close(record: false).order == nil)
      #expect(try await fixture.client.speculate([5, 6], corpus: "c").probs == [1, 1])
      let stats = try await other.stats(ofCorpus: "c")
      #expect(stats.sequences == 1 && stats.tokens == 6 && stats.sessions == 0)
      await other.close()
    }
  }

  /// A line's budget gives the drafts that one least probability for the whole line would have given; the
  /// cost of verification gives as many tokens as are worth it.
  @Test(arguments: DraftPolicy.allCases) func aBudgetIsSpentWhereItPays(policy: DraftPolicy)
    async throws
  {
    try await withService { fixture in
      var generator = SeededGenerator(seed: 3)
      let texts = (0..<200).map { _ in generator.tokens(count: 30, alphabet: 12) }
      _ = try await fixture.client.insert(texts.map { sequence($0) }, into: "c")
      var names: [String] = []
      for text in texts.prefix(12) {
        let session = try await fixture.client.openSession(
          corpus: "c", prompt: Array(text.prefix(9)), share: .never)
        names.append(session.name)
      }
      func drafts(
        _ least: Double, budget: Int? = nil, _ cost: VerifyCost? = nil, batch: Int? = nil
      ) async throws -> [Draft] {
        var line = SessionStep()
        for name in names {
          line.append(
            session: name, accept: [],
            options: DraftOptions(policy: policy, maxFactor: 4, minProbability: least, tree: true))
        }
        (line.budget, line.verifyCost, line.batch) = (budget, cost, batch)
        return try await fixture.client.step(line).map { try $0.get() }
      }
      let whole = try await drafts(0.01)
      let sorted = whole.flatMap(\.probs).sorted(by: >)
      #expect(sorted.count > 40)
      for budget in [0, 1, 7, sorted.count / 2, sorted.count - 1, sorted.count + 9] {
        let given = try await drafts(0.01, budget: budget)
        #expect(given.reduce(0) { $0 + $1.count } == min(budget, sorted.count))
        for (draft, full) in zip(given, whole) {
          #expect(draft.tokens == Array(full.tokens.prefix(draft.count)))
          #expect(draft.probs == Array(full.probs.prefix(draft.count)))
        }
        // Between two probabilities, one least probability for all draws the same line.
        guard policy == .estimate, (1..<sorted.count).contains(budget),
          sorted[budget - 1] > sorted[budget]
        else { continue }
        let least = (Double(sorted[budget - 1]) + Double(sorted[budget])) / 2
        #expect(try await drafts(least).map(\.tokens) == given.map(\.tokens))
      }
      for (perToken, batch) in [(0, 12), (0.001, 12), (0.004, 12), (0.004, 100), (1, 12)] {
        let cost = VerifyCost(perToken: perToken)!
        let candidates = try await drafts(cost.leastProbability(batch: batch))
        let count = cost.count(
          of: candidates.flatMap(\.probs).sorted(by: >),
          VerifyCost.Batch(sequences: 12, of: batch))
        #expect((count > 0) == (perToken < 1))
        // Whatever least probability the options have.
        let given = try await drafts(0.9, cost, batch: batch)
        #expect(given.reduce(0) { $0 + $1.count } == count)
        for (draft, full) in zip(given, candidates) {
          #expect(draft.tokens == Array(full.tokens.prefix(draft.count)))
        }
        let both = try await drafts(0.9, budget: 3, cost, batch: batch)
        #expect(both.reduce(0) { $0 + $1.count } == min(3, count))
      }
    }
  }

  /// It leaves off the event loop; when the answer comes it is gone, and the name is free.
  @Test func aLongOutputThatIsNotKeptLeaves() async throws {
    try await withService { fixture in
      let client = fixture.client
      let output = (0..<1000).map { Int32($0 % 97 + $0 / 97) }
      for _ in 0..<3 {
        let session = try await client.openSession(corpus: "c", prompt: [], name: "long")
        for start in stride(from: 0, to: 1000, by: 100) {
          _ = try await session.step(accepting: Array(output[start..<(start + 100)]))
        }
        #expect(try await !client.speculate([0, 1, 2], corpus: "c").tokens.isEmpty)
        #expect(try await session.close(record: false).order == nil)
        #expect(try await client.speculate([0, 1, 2], corpus: "c").tokens.isEmpty)
        #expect(try await client.speculate([50, 51], corpus: "c").matchLength == 0)
      }
      let stats = try await client.stats(ofCorpus: "c")
      #expect(stats.sequences == 0 && stats.sessions == 0)
    }
  }

  @Test func everyMethodAnswers() async throws {
    try await withService { fixture in
      let client = fixture.client
      let info = try await client.serverInfo()
      #expect(info.name == "reprise" && info.protocolVersion == 1)
      #expect(info.limits[.steps] == Limits().stepsMax)
      #expect(try await client.isLive().ok)
      #expect(try await client.isReady().ok)
      let made = try await client.createCorpus("d", CorpusSettings(depth: 8, tokenizer: "t"))
      #expect(
        made == CorpusDescription(corpus: "d", settings: CorpusSettings(depth: 8, tokenizer: "t")))
      #expect(try await client.corpora().map(\.corpus) == ["c", "d"])
      let inserted = try await client.insert(
        [sequence([1, 2, 3], id: "a"), sequence([1, 2, 4])], into: "d", tokenizer: "t")
      #expect(inserted.inserted == 2 && inserted.tokens == 6 && inserted.lastOrder == 1)
      let drafts = try await client.speculate(contexts: [[2], [3], [1, 2]], corpus: "d")
      #expect(try drafts.map { try $0.get().tokens } == [[3], [], [3]])
      let tree = try await client.speculate(
        [1, 2], corpus: "d", DraftOptions(minProbability: 0, tree: true))
      #expect(tree.tokens == [3, 4] && tree.parents == [-1, -1])
      #expect(try await client.dropCorpus("d").dropped)
      #expect(try await client.corpora().map(\.corpus) == ["c"])
    }
  }

  @Test func errorsHaveTheirKinds() async throws {
    try await withService { fixture in
      let client = fixture.client
      #expect(
        await kind { _ = try await client.speculate([1], corpus: "x") } == .corpusNotFound)
      let raw = try LineConnection(fixture.socket)
      for (method, members, kind) in [
        ("speculate", "\"corpus\":\"../x\",\"context\":[1]", "corpus_not_found"),
        ("corpus.create", "\"corpus\":\"a/b\"", "invalid_params"),
        ("corpus.create", "\"corpus\":\"..\"", "invalid_params"),
        (
          "snapshot.restore", "\"snapshot\":\"s\",\"corpus\":\"../x\"", "invalid_params"
        ),
        ("snapshot.list", "\"corpus\":\"../x\"", "\"snapshots\":[]"),
      ] {
        raw.send(
          "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\(method)\",\"params\":{\(members)}}\n")
        #expect(raw.line()?.contains(kind) == true, "\(method) \(members)")
      }
      raw.close()
      #expect(
        await kind { try await client.createCorpus("c", CorpusSettings(depth: 5)) } == .corpusExists
      )
      #expect(await kind { try await client.closeSession("x") } == .sessionNotFound)
      try await client.insert([sequence([1], id: "a")], into: "c")
      #expect(
        await kind { try await client.insert([sequence([2], id: "a")], into: "c") } == .conflict)
      #expect(
        await kind { try await client.insert([sequence([2])], into: "c", tokenizer: "t") }
          == .tokenizerMismatch)
      // In a step, an error affects its own session alone.
      let session = try await client.openSession(corpus: "c", prompt: [1], name: "mine")
      #expect(
        await kind { _ = try await client.openSession(corpus: "c", prompt: [], name: "mine") }
          == .conflict)
      var steps = SessionStep()
      steps.append(session: "nobody", accept: [1])
      steps.append(session: session.name, accept: [1])
      let drafts = try await client.step(steps)
      #expect(throws: WireError.sessionNotFound("nobody")) { try drafts[0].get() }
      #expect(throws: Never.self) { try drafts[1].get() }
      try await session.close()
      #expect(await kind { _ = try await session.step() } == .sessionNotFound)
    }
  }

  /// What went wrong: a row with an invalid token id raised an error for its whole line: no row got
  /// a draft, and the tokens of the others were missing from the recorded outputs.
  @Test func oneBadStepCostsNoOther() async throws {
    try await withService { fixture in
      let client = fixture.client
      try await client.createCorpus("bounded", CorpusSettings(vocabulary: 100))
      for name in ["a", "b", "c"] {
        _ = try await client.openSession(corpus: "bounded", prompt: [1], name: name)
      }
      let connection = try LineConnection(fixture.socket)
      func step(_ session: String, _ accept: String) -> String {
        "{\"session\":\"\(session)\",\"accept\":\(accept)}"
      }
      func exchange(_ steps: [String]) throws -> [JSON] {
        let line =
          "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"session.step\",\"params\":{\"steps\":["
          + steps.joined(separator: ",") + "]}}"
        return try connection.exchange(line)["result"]?["drafts"]?.array ?? []
      }
      let long = try await client.serverInfo().eventLoopLineBytes
      // From padding, from another model, from a caller's mistake; one in a line of the event loop,
      // and one in a line that another thread reads.
      for more in ["", String(repeating: " ", count: long)] {
        let answers = try exchange([
          step("a", "[5,6]"), step("b", "[7,-1]"), step("c", "[8,100]"), step("nobody", "[1]"), "7",
          step("c", "[18446744073709551616]"), step("c", "[9]" + more),
        ])
        #expect(
          answers.map { $0["error"]?["data"]?["kind"]?.string } == [
            nil, "invalid_params", "invalid_params", "session_not_found", "invalid_params",
            "invalid_params", nil,
          ])
        #expect(
          answers.map { $0["error"]?["data"]?["member"]?.string } == [
            nil, "params.steps[1].accept[1]", "params.steps[2].accept[1]", nil, "params.steps[4]",
            "params.steps[5].accept[0]", nil,
          ])
        #expect(answers[5]["error"]?["message"]?.string?.contains("out of range") == true)
      }
      for (name, recorded) in [("a", 4), ("b", 0), ("c", 2)] {
        #expect(try await client.closeSession(name).recordedTokens == recorded)
      }
      let contexts = try await client.speculate(contexts: [[5], [9]], corpus: "bounded")
      #expect(try contexts.map { try $0.get().tokens } == [[6], [9]])
      let drafts = try connection.exchange(
        "{\"jsonrpc\":\"2.0\",\"id\":2.50,\"method\":\"speculate\",\"params\":{\"corpus\":\"bounded\","
          + "\"contexts\":[[5],[],[-1],[9]]}}")
      #expect(drafts["id"] == .number(2.5))
      #expect(
        drafts["result"]?["drafts"]?.array?.map { $0["tokens"]?.array?.count ?? -1 } == [
          1, -1, -1, 1,
        ])
      // An insert is all or nothing; the error names the place.
      let insert = try connection.exchange(
        "{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"sequence.insert\",\"params\":{\"corpus\":\"bounded\","
          + "\"sequences\":[{\"tokens\":[50]},{\"tokens\":[50,100]}]}}")
      #expect(insert["error"]?["data"]?["member"] == "params.sequences[1].tokens[1]")
      #expect(try await client.speculate([50], corpus: "bounded").isEmpty)
      connection.close()
    }
  }

  @Test func sessionsHaveABound() async throws {
    try await withService { options in
      options.limits.sessionsMax = 2
    } _: { fixture in
      let first = try await fixture.client.openSession(corpus: "c", prompt: [])
      _ = try await fixture.client.openSession(corpus: "c", prompt: [])
      #expect(
        await kind { _ = try await fixture.client.openSession(corpus: "c", prompt: []) }
          == .limitExceeded)
      try await first.close()
      _ = try await fixture.client.openSession(corpus: "c", prompt: [])
    }
  }

  @Test func aTurnReusesItsParent() async throws {
    try await withService { fixture in
      let first = try await fixture.client.openSession(corpus: "c", prompt: [1, 2, 3], name: "t1")
      _ = try await first.step(accepting: [4, 5])
      try await first.close()
      let next = try await fixture.client.openSession(
        corpus: "c", prompt: [1, 2, 3, 4, 5, 6], parent: "t1")
      #expect(next.opened.reusedTokens == 5 && next.opened.promptTokens == 6)
      let stranger = try await fixture.client.openSession(
        corpus: "c", prompt: [1, 2, 3, 4, 5, 6], parent: "unheard-of")
      #expect(stranger.opened.reusedTokens == 0)
    }
  }

  @Test func aSessionEndsWithItsLeaseAndIsRecorded() async throws {
    try await withService { fixture in
      var step = SessionStep()
      step.append(session: "a", accept: [1, 2, 3])
      var writer = JSONWriter()
      for call in [
        Call.sessionOpen(SessionOpen(corpus: "c", session: "a", prompt: [], ttlSeconds: 1)),
        .sessionStep(step),
      ] {
        Request(id: .number(1), call: call).write(to: &writer)
      }
      // Both at once: between two sends, a slow machine might let the lease run out.
      let connection = try LineConnection(fixture.socket)
      connection.send(String(decoding: writer.bytes, as: UTF8.self))
      #expect(connection.line()?.contains("\"session\":\"a\"") == true)
      #expect(connection.line()?.contains("\"match_length\"") == true)
      // Reading the statistics does not renew the lease.
      while try await fixture.client.stats(ofCorpus: "c").sequences == 0 {}
      writer.removeAll()
      Request(id: .number(2), call: .sessionStep(step)).write(to: &writer)
      connection.send(String(decoding: writer.bytes, as: UTF8.self))
      #expect(connection.line()?.contains("session_not_found") == true)
    }
  }

  @Test func openSessionsAreRecordedAtTheEnd() async throws {
    let fixture = try await ServiceFixture()
    let session = try await fixture.client.openSession(corpus: "c", prompt: [1])
    _ = try await session.step(accepting: [2, 3])
    try await fixture.service.stop()
    fixture.store.close()
    let store = try Store(path: fixture.directory + "/store")
    #expect(try store.corpus(named: "c")?.stats().tokens == 3)
    store.close()
    try FileManager.default.removeItem(atPath: fixture.directory)
  }

  // MARK: Lines

  static let live = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"health.live\"}"
  static let liveAnswer = "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"ok\":true,\"awaited\":[]}}"

  @Test func linesArePipelinedAndCutAnywhere() async throws {
    try await withService { fixture in
      let raw = try LineConnection(fixture.socket)
      for _ in 0..<100 { raw.send(Self.live + "\n") }
      for byte in Self.live.utf8 { raw.send(String(UnicodeScalar(byte))) }
      raw.send("\n")
      for _ in 0...100 { #expect(raw.line() == Self.liveAnswer) }
      // A notification is carried out and not answered.
      raw.send("{\"jsonrpc\":\"2.0\",\"method\":\"health.live\"}\n" + Self.live + "\n")
      #expect(raw.line() == Self.liveAnswer)
      // Received requests are answered, also if the client has ended sending; an incomplete line is
      // dropped.
      raw.send(
        """
        {"jsonrpc":"2.0","id":1,"method":"sequence.insert","params":\
        {"corpus":"c","sequences":[{"tokens":[1,2]}]}}\n{"jsonrpc":
        """)
      raw.endSending()
      #expect(raw.line()?.contains("\"inserted\":1") == true)
      #expect(raw.line() == nil)
    }
  }

  /// Long lines and prompts take another path. They are answered like all others, malformed ones
  /// too, and later lines need not wait for them.
  @Test func longLinesAreAnsweredLikeAllOthers() async throws {
    try await withService { fixture in
      let raw = try LineConnection(fixture.socket)
      func open(_ id: Int, _ prompt: [Int32], _ more: String = "") -> String {
        let tokens = prompt.map(String.init).joined(separator: ",")
        return "{\"jsonrpc\":\"2.0\",\"id\":\(id),\"method\":\"session.open\",\"params\":"
          + "{\"corpus\":\"c\",\"session\":\"s\(id)\",\"prompt\":[\(tokens)]\(more)}}\n"
      }
      // More of them than may wait at once, one with a long prompt in a short line, two with
      // mistakes.
      let prompt = (0..<30_000).map { Int32($0 % 1000) }
      for id in 0..<5 { raw.send(open(id, prompt)) }
      raw.send(open(5, Array(prompt.prefix(5000))))
      raw.send(open(6, prompt, ",\"colour\":1"))
      raw.send(open(7, prompt).dropLast(3) + "\n")
      raw.send(Self.live + "\n")
      var answers: [String] = []
      for _ in 0..<9 { answers.append(try #require(raw.line())) }
      for id in 0..<6 {
        let tokens = id == 5 ? 5000 : 30_000
        #expect(
          answers.contains {
            $0.contains("\"id\":\(id),") && $0.contains("\"prompt_tokens\":\(tokens)")
          })
      }
      #expect(answers.contains { $0.contains("\"id\":6,") && $0.contains("colour") })
      #expect(answers.contains { $0.contains("\"id\":null,") && $0.contains("-32700") })
      #expect(answers.contains(Self.liveAnswer))
      // The sessions are there, and draft from their long prompts.
      for id in 0..<6 {
        var step = SessionStep()
        step.append(session: "s\(id)", accept: [41, 42, 43])
        let draft = try await fixture.client.step(step)[0].get()
        #expect(draft.tokens.first == 44)
        #expect(draft.source == .local)
      }
      // A long line is answered although the client has ended sending.
      raw.send(open(8, prompt))
      raw.endSending()
      #expect(raw.line()?.contains("\"id\":8,") == true)
      #expect(raw.line() == nil)
    }
  }

  @Test func aBatchIsAnsweredByOneArray() async throws {
    try await withService { fixture in
      let raw = try LineConnection(fixture.socket)
      let insert =
        "{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"sequence.insert\",\"params\":"
        + "{\"corpus\":\"c\",\"sequences\":[{\"tokens\":[1,2]}]}}"
      let silent = "{\"jsonrpc\":\"2.0\",\"method\":\"health.live\"}"
      raw.send("[\(insert),\(Self.live),7,\(silent)]\n")
      let line = try #require(raw.line())
      #expect(line.hasPrefix("[{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{\"inserted\":1"))
      #expect(line.contains(Self.liveAnswer))
      #expect(line.contains("-32600"))
      #expect(line.hasSuffix("]"))
      #expect(line.components(separatedBy: "\"jsonrpc\":\"2.0\"").count - 1 == 3)
      // A batch of notifications has no answer at all.
      raw.send("[\(silent),\(silent)]\n\(Self.live)\n")
      #expect(raw.line() == Self.liveAnswer)
    }
  }

  @Test func aLineWithoutEndIsCutOffAndOthersDoNotNotice() async throws {
    try await withService { options in
      options.limits.lineBytesMax = 10_000
    } _: { fixture in
      let raw = try LineConnection(fixture.socket)
      raw.send(String(repeating: "x", count: 9_999) + "\n")
      #expect(raw.line()?.contains("-32700") == true, "9,999 bytes are a line, if no JSON")
      raw.send(String(repeating: " ", count: 10_000 - Self.live.utf8.count) + Self.live + "\n")
      #expect(raw.line() == Self.liveAnswer)
      raw.send(String(repeating: "x", count: 10_001) + "\n" + Self.live + "\n")
      #expect(raw.line()?.contains("limit_exceeded") == true)
      #expect(raw.line() == Self.liveAnswer, "a line that has an end is answered and forgotten")
      raw.send(String(repeating: "x", count: 40_000))
      #expect(raw.line()?.contains("limit_exceeded") == true)
      #expect(raw.line() == nil)
      #expect(try await fixture.client.isLive().ok)
    }
  }

  @Test func aClientThatDoesNotReadStopsNobody() async throws {
    try await withService { options in
      // It is not disconnected, however slow the machine.
      options.limits.answerSecondsMax = 86_400
    } _: { fixture in
      let deaf = try LineConnection(fixture.socket)
      // Answers are ten times as long as the request.
      let request = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"server.info\"}\n"
      // More than sockets buffer, from a thread of its own: it blocks when the service stops
      // reading, until the connection is closed.
      let sender = Thread { for _ in 0..<6000 { deaf.send(request) } }
      sender.start()
      for _ in 0..<4000 { #expect(try await fixture.client.isLive().ok) }
      #expect(!sender.isFinished, "unanswered requests must not be read without end")
      // Reading the answers frees the sender.
      while !sender.isFinished { _ = deaf.line() }
      deaf.close()
    }
  }

  // MARK: The socket

  @Test func theSocketIsItsOwnersAndIsReplacedOnlyWhenStale() async throws {
    let fixture = try await ServiceFixture()
    var status = stat()
    #expect(unsafe lstat(fixture.socket, &status) == 0)
    #expect(status.st_mode & 0o777 == 0o600)
    let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    let second = try Store(path: fixture.directory + "/second")
    func start(_ path: String) async -> StartError? {
      do {
        let service = try await RepriseServer.start(
          second, ServiceOptions(.unixSocket(path: path)), logger: logger)
        try await service.stop()
        return nil
      } catch {
        return error as? StartError
      }
    }
    #expect(await start(fixture.socket) == .alreadyServed(path: fixture.socket))
    #expect(try await fixture.client.isLive().ok, "the live one goes on")
    let file = fixture.directory + "/file"
    try Data("x".utf8).write(to: URL(fileURLWithPath: file))
    #expect(await start(file) == .notASocket(path: file))
    #expect(FileManager.default.fileExists(atPath: file))
    let long = fixture.directory + "/" + String(repeating: "x", count: 108)
    #expect(await start(long) == .pathTooLong(path: long, bytesMax: 107))
    // A socket that no process listens on, as a crash leaves it.
    let stale = fixture.directory + "/stale"
    let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
    #expect(UnixAddress(path: stale)?.bind(descriptor) == 0)
    Glibc.close(descriptor)
    #expect(FileManager.default.fileExists(atPath: stale))
    #expect(await start(stale) == nil)
    second.close()
    try await fixture.stop()
  }

  /// What went wrong: event loops had ended when the result of a client's request came back to
  /// them, after the client had disconnected.
  @Test func theEndWaitsForWhatGoneClientsAskedFor() async throws {
    let fixture = try await ServiceFixture()
    let connection = try LineConnection(fixture.socket)
    let insert = SequenceInsert(
      corpus: "c", sequences: [sequence((0..<300_000).map { $0 % 1000 })])
    var writer = JSONWriter()
    Request(id: .number(1), call: .sequenceInsert(insert)).write(to: &writer)
    connection.send(String(decoding: writer.bytes, as: UTF8.self))
    // Requests begin in their order.
    #expect(connection.ask(.healthLive).contains("true"))
    connection.close()
    await fixture.client.close()
    try await fixture.service.stop()
    #expect(try fixture.store.corpus(named: "c")?.stats().sequences == 1)
    fixture.store.close()
    try FileManager.default.removeItem(atPath: fixture.directory)
  }
}
