import Access
import Concurrency
import CorpusStore
import Foundation
import HostileClients
import Logging
import RepriseModel
import TestSupport
import Testing
import WireProtocol

@testable import RepriseServer

/// Every hostile client gets the answer that docs/reports/hostile-clients.md gives, and a
/// neighbouring client gets every answer, byte for byte.
///
/// Most of them wait, for a limit of a second or five. Four at a time, each on a thread of its own,
/// use the time without delaying other tests.
@Suite struct HostileTests {
  private static let gate = Gate(4)

  @Test(arguments: HostileClient.all + HostileClient.heavy)
  func hurtsNobody(_ client: HostileClient) async throws {
    await Self.gate.enter()
    let result: Result<Void, any Error>
    do { result = .success(try await attack(client)) } catch { result = .failure(error) }
    await Self.gate.leave()
    try result.get()
  }

  private func attack(_ client: HostileClient) async throws {
    let prey = try await Prey(client)
    let (target, token) = (prey.target, prey.neighboursToken)
    let (outcome, steps, stepsAfter) = try await onOwnThread(secondsMax: 300) {
      let neighbour = try Neighbour(target, token: token)
      let outcome = Result { try client.perform(target) }
      let steps = try neighbour.stop()
      // A client that comes afterwards is served.
      return (outcome, steps, try Neighbour(target, token: token).stop())
    }
    #expect(throws: Never.self) { try outcome.get() }
    if case .success(let outcome) = outcome {
      #expect(outcome == client.answered, "\(client): \(outcome)")
    }
    #expect(steps > 0 && stepsAfter > 0)
    try await prey.stop()
  }

  @Test func theyHaveNamesOfTheirOwn() {
    #expect(HostileClient.all.count >= 50)
    #expect(Set(HostileClient.all.map(\.name)).count == HostileClient.all.count)
  }

  /// Both tables list the clients in their order, each with its answer.
  @Test func theTableIsTheList() throws {
    let file = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .appendingPathComponent("../../docs/reports/hostile-clients.md")
    let text = try String(contentsOf: file, encoding: .utf8)
    let lines = text.split(separator: "\n")
      .filter { $0.hasPrefix("| ") && !$0.hasPrefix("| what it") }
    let rows = lines.map {
      $0.split(separator: "|").prefix(2).map { $0.trimmingCharacters(in: .whitespaces) }
    }
    let expected = (HostileClient.all + HostileClient.heavy).map { [$0.name, "\($0.answered)"] }
    #expect(rows.count == expected.count)
    for (row, expected) in zip(rows, expected) { #expect(row == expected) }
  }
}

/// A service with bounds that are reached soon, and the data that hostile clients use.
private final class Prey {
  let directory = NSTemporaryDirectory() + "reprise-\(UUID().uuidString.prefix(8))"
  let store: Store
  let service: RepriseServer
  let target: Target
  let neighboursToken: String?

  /// The neighbour's history.
  static let history: [[Int32]] = {
    var generator = SeededGenerator(seed: 1)
    return (0..<8).map { _ in generator.tokens(count: 80, alphabet: 9) }
  }()
  static let depth = 12

  init(_ client: HostileClient) async throws {
    try FileManager.default.createDirectory(
      atPath: directory, withIntermediateDirectories: true)
    store = try Store(path: directory + "/store")
    let others = try store.createCorpus(
      named: Target.othersCorpus, CorpusSettings(depth: Self.depth))
    try others.insert(Self.history.map { NewSequence(tokens: $0) })
    try store.createCorpus(named: Target.corpus, CorpusSettings()).insert([
      NewSequence(tokens: Target.history)
    ])
    var options = ServiceOptions(.unixSocket(path: directory + "/s"))
    options.limits = Self.limits
    switch client.answered {
    case .closed, .answeredAndClosed:
      options.limits.lineSecondsMax = 1
      options.limits.answerSecondsMax = 1
      options.limits.idleSecondsMax = 5
    default:
      // Clients that should not meet a time limit do not, however busy the machine is.
      break
    }
    var token: String?
    if client.service == .guarded {
      options.accessFile = directory + "/access.json"
      token = "rp_hostile"
      neighboursToken = "rp_neighbour"
      for (token, corpus) in [("rp_hostile", Target.corpus), ("rp_neighbour", Target.othersCorpus)]
      {
        try AccessFile.add(
          AccessFile.Entry(
            grant: Grant(
              name: corpus.text, corpora: [CorpusPattern(corpus.text)].compactMap { $0 },
              rights: try Rights(names: ["draft", "insert", "admin"])),
            digest: TokenDigest(token: token)),
          to: directory + "/access.json")
      }
    } else {
      neighboursToken = nil
    }
    let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    service = try await RepriseServer.start(store, options, logger: logger)
    target = Target(
      socket: directory + "/s", limits: options.limits, directory: directory, token: token)
  }

  private static var limits: Limits {
    var limits = Limits()
    limits.lineBytesMax = 4 << 20
    limits.answerBytesMax = 1 << 21
    limits.contextTokensMax = 1 << 16
    limits.promptTokensMax = 1 << 16
    limits.sequenceTokensMax = 1 << 16
    limits.sequencesMax = 1 << 12
    limits.acceptTokensMax = 1 << 12
    limits.forgetIDsMax = 1 << 12
    limits.draftTokensMax = 256
    limits.contextsMax = 1 << 10
    limits.connectionsMax = 2000
    limits.corporaMax = 6
    limits.connectionSessionsMax = 40
    limits.connectionSessionTokensMax = 1 << 18
    return limits
  }

  func stop() async throws {
    try await service.stop()
    store.close()
    try FileManager.default.removeItem(atPath: directory)
  }
}

/// A worker that steps a session of its own continuously, and compares each answer with the
/// oracle's.
private final class Neighbour: Sendable {
  private struct State {
    var isStopping = false
    var steps = 0
    var difference: Wrong?
    var hasEnded = false
  }

  private let state = Locked(State())

  /// A request and its answer, without newlines.
  private struct Exchange {
    let request: String
    let answer: String
  }

  private static let output: [Int32] = {
    var generator = SeededGenerator(seed: 2)
    return generator.tokens(count: 120, alphabet: 9)
  }()

  /// One session's steps.
  private static let exchanges: [Exchange] = {
    let shared = NGramOracle(depth: Prey.depth, sequences: Prey.history)
    let prompt = Array(Prey.history[3][20..<40])
    var written = prompt
    var exchanges = [
      exchange(
        .sessionOpen(
          SessionOpen(
            corpus: Target.othersCorpus, session: "n", prompt: prompt, share: .never)),
        SessionOpened(session: "n", promptTokens: prompt.count, reusedTokens: 0))
    ]
    for start in stride(from: 0, to: output.count, by: 3) {
      let accepted = Array(output[start..<min(start + 3, output.count)])
      written += accepted
      var naive = NaiveDrafter()
      naive.tree = start % 2 == 1
      naive.minProbability = 0.2
      let local = NGramOracle(depth: Prey.depth, sequences: [written])
      let draft = Draft(naive.draft(local: local, shared: shared, context: written))
      var step = SessionStep()
      step.append(
        session: "n", accept: accepted,
        options: DraftOptions(minProbability: naive.minProbability, tree: naive.tree))
      exchanges.append(
        exchange(.sessionStep(step), DraftList(drafts: [.success(draft)])))
    }
    exchanges.append(
      exchange(
        .sessionClose(SessionClose(session: "n", record: false)),
        RecordReceipt(recordedTokens: 0, order: nil, unrecordedReason: .notWanted)))
    return exchanges
  }()

  private static func exchange(_ call: Call, _ result: some WireResult) -> Exchange {
    var request = JSONWriter()
    Request(id: .number(1), call: call).write(to: &request)
    var answer = JSONWriter()
    answer.result(.number(1), result)
    return Exchange(
      request: String(decoding: request.bytes, as: UTF8.self),
      answer: String(decoding: answer.bytes, as: UTF8.self))
  }

  init(_ target: Target, token: String?) throws {
    let connection = try LineConnection(target.socket)
    if let token {
      let answer = connection.ask(.serverAuthenticate(ServerAuthenticate(token: token)))
      guard answer.contains("\"result\"") else { throw Wrong(answer: answer, instead: "a result") }
    }
    // The neighbour connects before the hostile client does.
    run(connection, Self.exchanges)
    Thread.detachNewThread { [self] in
      while !state.withLock({ $0.isStopping || $0.difference != nil }) {
        run(connection, Self.exchanges)
        // Engines compute between steps; this also leaves the processor to other tests.
        usleep(5000)
      }
      connection.close()
      state.wakeAll(after: { $0.hasEnded = true })
    }
  }

  private func run(_ connection: LineConnection, _ exchanges: [Exchange]) {
    for exchange in exchanges {
      connection.send(exchange.request)
      let answer = connection.line()
      state.withLock { state in
        state.steps += 1
        if answer != exchange.answer, state.difference == nil {
          state.difference = Wrong(answer: answer ?? "nothing", instead: exchange.answer)
        }
      }
    }
  }

  /// Returns the number of answers since it began; each must have been correct.
  func stop() throws -> Int {
    state.withLock { $0.isStopping = true }
    let (steps, difference) = state.wait { state -> Wait<(Int, Wrong?)> in
      state.hasEnded ? .done((state.steps, state.difference)) : .sleep()
    }
    if let difference { throw difference }
    return steps
  }

  /// An answer that differs from the oracle's.
  struct Wrong: Error, CustomStringConvertible {
    let answer: String
    let instead: String
    var description: String { "a neighbour was answered \(answer)\ninstead of\n\(instead)" }
  }
}

extension Draft {
  /// The oracle's draft, in the form that the service would send.
  fileprivate init(_ naive: NaiveDraft) {
    self.init()
    tokens = naive.tokens
    parents = naive.parents
    probs = naive.probs
    counts = naive.counts
    score = naive.score
    matchLength = naive.matchLength
    source = naive.source
  }
}
