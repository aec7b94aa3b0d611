import Access
import CorpusStore
import Foundation
import Logging
import RepriseClient
import RepriseModel
import RepriseServer
import TestSupport
import Testing
import WireProtocol

/// The rights of callers, and that others' data cannot be told from missing data.
@Suite struct AccessTests {
  /// Holders of tokens, and their tokens.
  private static let holders: [(name: String, corpora: [String], rights: [String])] = [
    ("reader", ["mine"], ["draft"]),
    ("writer", ["mine", "mine-*"], ["draft", "insert"]),
    ("keeper", ["mine"], ["draft", "insert", "admin"]),
    ("stranger", ["theirs"], ["draft", "insert", "admin"]),
    ("operator", ["*"], ["draft", "insert", "admin"]),
  ]

  private static func token(_ holder: String) -> String { "rp_\(holder)-token" }

  /// A service with an access file, the corpora "mine" and "theirs", and a snapshot of each.
  private final class Guarded {
    let directory = NSTemporaryDirectory() + "reprise-\(UUID().uuidString.prefix(8))"
    let store: Store
    let service: RepriseServer
    var socket: String { directory + "/s" }
    var file: String { directory + "/access.json" }

    init(_ change: (inout ServiceOptions) -> Void = { _ in }) async throws {
      try FileManager.default.createDirectory(
        atPath: directory, withIntermediateDirectories: true)
      store = try Store(path: directory + "/store")
      for corpus in ["mine", "theirs"] as [CorpusName] {
        let made = try store.createCorpus(named: corpus, CorpusSettings())
        try made.insert([NewSequence(id: "a", tokens: [1, 2, 3, 4])])
        _ = try store.createSnapshot(ofCorpus: corpus, named: "of-\(corpus)")
      }
      try AccessTests.write(AccessTests.holders.map(\.name), to: directory + "/access.json")
      var options = ServiceOptions(.unixSocket(path: directory + "/s"))
      options.accessFile = directory + "/access.json"
      change(&options)
      let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
      service = try await RepriseServer.start(store, options, logger: logger)
    }

    func stop() async throws {
      try await service.stop()
      store.close()
      try FileManager.default.removeItem(atPath: directory)
    }

    func connect(_ holder: String?) throws -> LineConnection {
      let connection = try LineConnection(socket)
      if let holder {
        let answer = connection.ask(.serverAuthenticate(ServerAuthenticate(token: token(holder))))
        #expect(answer.contains("\"name\":\"\(holder)\""), "\(answer)")
      }
      return connection
    }
  }

  private static func write(_ names: [String], to path: String) throws {
    try? FileManager.default.removeItem(atPath: path)
    for holder in holders where names.contains(holder.name) {
      try AccessFile.add(
        AccessFile.Entry(
          grant: Grant(
            name: holder.name, corpora: holder.corpora.compactMap { CorpusPattern($0) },
            rights: try Rights(names: holder.rights)),
          digest: TokenDigest(token: token(holder.name))),
        to: path)
    }
  }

  /// One call of each kind, over a corpus and its snapshot.
  private static func calls(_ corpus: CorpusName) -> [(call: Call, right: String)] {
    [
      (.corpusStats(corpus: corpus), "draft"),
      (.speculate(Speculate(corpus: corpus, context: [1])), "draft"),
      (.sessionOpen(SessionOpen(corpus: corpus, prompt: [1], share: .never)), "draft"),
      (.sessionOpen(SessionOpen(corpus: corpus, prompt: [1])), "insert"),
      (.sessionOpen(SessionOpen(corpus: corpus, prompt: [1], share: .close)), "insert"),
      (
        .sequenceInsert(SequenceInsert(corpus: corpus, sequences: [.init(tokens: [7])])),
        "insert"
      ),
      (.sequenceForget(SequenceForget(corpus: corpus, ids: ["none"])), "admin"),
      (.snapshotCreate(SnapshotCreate(corpus: corpus, name: "new")), "admin"),
      (.corpusMerge(CorpusMerge(from: corpus, into: "\(corpus)-x")), "admin"),
      (.snapshotVerify(.named("of-\(corpus)")), "admin"),
      (
        .snapshotRestore(SnapshotRestore(.named("of-\(corpus)"), corpus: corpus, replace: true)),
        "admin"
      ),
      (.snapshotDelete(snapshot: "new"), "admin"),
      (.corpusDrop(CorpusDrop(corpus: corpus)), "admin"),
    ]
  }

  @Test func withoutATokenNothingIsToldButThatItIsThere() async throws {
    let guarded = try await Guarded()
    let connection = try guarded.connect(nil)
    #expect(connection.ask(.serverInfo).contains("\"name\":\"reprise\""))
    #expect(connection.ask(.healthReady).contains("\"ok\":true"))
    let refused =
      Self.calls("mine").map(\.call) + [
        .corpusList, .snapshotList(corpus: nil), .clientReport(ClientReport(engine: "x", steps: 1)),
      ]
    for call in refused {
      #expect(connection.ask(call).contains("\"kind\":\"unauthorized\""), "\(call.method)")
    }
    for token in ["", "rp_reader", Self.token("reader") + "x", String(repeating: "é", count: 128)] {
      let answer = connection.ask(.serverAuthenticate(ServerAuthenticate(token: token)))
      #expect(answer.contains("\"error\""), "\(token)")
    }
    #expect(connection.ask(.corpusList).contains("\"kind\":\"unauthorized\""))
    connection.close()
    try await guarded.stop()
  }

  @Test func eachHolderMayDoWhatItsRightsSay() async throws {
    for holder in Self.holders.prefix(3) {
      let guarded = try await Guarded()
      let connection = try guarded.connect(holder.name)
      for (call, right) in Self.calls("mine") {
        let answer = connection.ask(call)
        if holder.rights.contains(right) {
          #expect(!answer.contains("unauthorized"), "\(holder.name), \(call.method): \(answer)")
        } else {
          #expect(
            answer.contains("\"kind\":\"unauthorized\"") && answer.contains(right),
            "\(holder.name), \(call.method): \(answer)")
        }
      }
      connection.close()
      try await guarded.stop()
    }
  }

  /// The answers are equal to the last byte, except for the name.
  @Test func aCorpusThatIsNotYoursIsLikeOneThatIsNotThere() async throws {
    let guarded = try await Guarded()
    for holder in ["reader", "writer", "keeper"] {
      let connection = try guarded.connect(holder)
      for (theirs, missing) in zip(Self.calls("theirs"), Self.calls("thairs")) {
        let answer = connection.ask(theirs.call)
        #expect(answer.contains("\"error\""), "\(theirs.call.method)")
        #expect(
          answer.replacing("theirs", with: "thairs") == connection.ask(missing.call),
          "\(holder), \(theirs.call.method)")
      }
      let making = connection.ask(.corpusCreate(CorpusCreate(corpus: "theirs")))
      #expect(
        making.replacing("theirs", with: "thairs")
          == connection.ask(.corpusCreate(CorpusCreate(corpus: "thairs"))))
      #expect(!connection.ask(.corpusList).contains("theirs"))
      #expect(!connection.ask(.snapshotList(corpus: nil)).contains("theirs"))
      let file = "\(guarded.directory)/store/snapshots/of-theirs.snapshot"
      #expect(connection.ask(.snapshotVerify(.file(path: file))).contains("unauthorized"))
      connection.close()
    }
    let operators = try guarded.connect("operator")
    let list = operators.ask(.corpusList)
    #expect(list.contains("theirs") && list.contains("mine"))
    operators.close()
    try await guarded.stop()
  }

  @Test func aPrefixCoversWhatIsToBeMade() async throws {
    let guarded = try await Guarded()
    let connection = try guarded.connect("writer")
    #expect(connection.ask(.corpusCreate(CorpusCreate(corpus: "mine-2"))).contains("\"result\""))
    #expect(connection.ask(.corpusCreate(CorpusCreate(corpus: "min"))).contains("unauthorized"))
    connection.close()
    try await guarded.stop()
  }

  @Test func sessionsAreTheirHoldersAlone() async throws {
    let guarded = try await Guarded()
    let (writer, keeper) = (try guarded.connect("writer"), try guarded.connect("keeper"))
    let open = Call.sessionOpen(SessionOpen(corpus: "mine", session: "s", prompt: [1, 2]))
    #expect(writer.ask(open).contains("\"result\""))
    var step = SessionStep()
    step.append(session: "s", accept: [3])
    #expect(keeper.ask(.sessionStep(step)).contains("session_not_found"))
    #expect(keeper.ask(.sessionClose(SessionClose(session: "s"))).contains("session_not_found"))
    // The name is not taken either.
    #expect(keeper.ask(open).contains("\"result\""))
    #expect(writer.ask(.sessionStep(step)).contains("\"drafts\""))
    // All of a holder's connections share its sessions.
    let second = try guarded.connect("writer")
    #expect(second.ask(.sessionStep(step)).contains("\"match_length\""))
    #expect(second.ask(open).contains("\"kind\":\"conflict\""))
    for connection in [writer, keeper, second] { connection.close() }
    try await guarded.stop()
  }

  @Test func readingTheFileAgainHoldsForOpenConnections() async throws {
    let guarded = try await Guarded()
    let (reader, writer) = (try guarded.connect("reader"), try guarded.connect("writer"))
    try Self.write(["writer"], to: guarded.file)
    guarded.service.reload()
    let stats = Call.corpusStats(corpus: "mine")
    #expect(reader.ask(stats).contains("unauthorized"))
    #expect(writer.ask(stats).contains("\"result\""))
    // A file with a mistake changes nothing.
    try Data("{\"tokens\": 1}".utf8).write(to: URL(fileURLWithPath: guarded.file))
    guarded.service.reload()
    #expect(writer.ask(stats).contains("\"result\""))
    for connection in [reader, writer] { connection.close() }
    try await guarded.stop()
  }

  @Test func requestsBeyondTheRateAreToldWhenToComeAgain() async throws {
    let guarded = try await Guarded { $0.limits.requestsPerSecondMax = 5 }
    let connection = try guarded.connect("reader")
    // All at once, so that a slow machine does not spread the requests.
    var writer = JSONWriter()
    for _ in 0..<40 {
      Request(id: .number(1), call: .corpusStats(corpus: "mine")).write(to: &writer)
    }
    connection.send(String(decoding: writer.bytes, as: UTF8.self))
    let answers = (0..<40).map { _ in connection.line() ?? "" }
    let busy = answers.filter { $0.contains("\"kind\":\"busy\"") }
    #expect(answers.prefix(5).allSatisfy { $0.contains("\"result\"") })
    #expect(busy.count >= 10 && busy.allSatisfy { $0.contains("retry_after_ms") })
    // Others have an allowance of their own.
    let other = try guarded.connect("writer")
    #expect(other.ask(.corpusStats(corpus: "mine")).contains("\"result\""))
    for connection in [connection, other] { connection.close() }
    try await guarded.stop()
  }

  @Test func filesWithMistakesAreRefusedWithTheirPlace() throws {
    let directory = NSTemporaryDirectory() + "reprise-\(UUID().uuidString.prefix(8))"
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: directory) }
    let path = directory + "/access.json"
    let digest = String(repeating: "ab", count: 32)
    func entry(_ change: String = "") -> String {
      """
      {"name": "a", "sha256": "\(digest)", "corpora": ["c"], "rights": ["draft"]\(change)}
      """
    }
    let cases: [(text: String, expected: String)] = [
      ("", "not valid JSON"), ("[]", "wrong type"), ("{}", "tokens is missing"),
      ("{\"tokens\": [], \"token\": []}", "token is not known"),
      ("{\"tokens\": [\(entry(", \"right\": 1"))]}", "tokens[0].right is not known"),
      ("{\"tokens\": [\(entry(", \"requests_per_second\": 0"))]}", "tokens[0].requests_per_second"),
      ("{\"tokens\": [\(entry(", \"requests_per_second\": \"9\""))]}", "wrong type"),
      ("{\"tokens\": [\(entry()), \(entry())]}", "tokens[1].name: \"a\" appears twice"),
      (
        "{\"tokens\": [\(entry()), \(entry().replacing("\"a\"", with: "\"b\""))]}",
        "tokens[1].sha256: the same token"
      ),
      ("{\"tokens\": [\(entry().replacing("abab", with: "xbab"))]}", "64 hexadecimal digits"),
      ("{\"tokens\": [\(entry().replacing("\"c\"", with: "\"a*b\""))]}", "\"a*b\" is no corpus"),
      ("{\"tokens\": [\(entry().replacing("\"draft\"", with: "\"drafts\""))]}", "is not a right"),
      ("{\"tokens\": [\(entry().replacing("\"a\"", with: "\"\""))]}", "1 to 64 bytes"),
    ]
    for (text, expected) in cases {
      try Data(text.utf8).write(to: URL(fileURLWithPath: path))
      do throws(AccessFile.Mistake) {
        _ = try AccessFile(path: path)
        Issue.record("\(text) was taken")
      } catch {
        #expect(error.description.contains(expected), "\(text): \(error)")
        #expect(error.description.contains(path))
      }
    }
    try Data("{\"tokens\": [\(entry())]}".utf8).write(to: URL(fileURLWithPath: path))
    #expect(try AccessFile(path: path).entries.count == 1)
    unsafe chmod(path, 0o666)
    #expect(throws: AccessFile.Mistake.self) { try AccessFile(path: path) }
    #expect(throws: AccessFile.Mistake.self) { try AccessFile(path: path + "x") }
  }

  @Test func addressesThatOthersReachNeedTokensAndEncryption() async throws {
    let directory = NSTemporaryDirectory() + "reprise-\(UUID().uuidString.prefix(8))"
    let store = try Store(path: directory)
    defer {
      store.close()
      try? FileManager.default.removeItem(atPath: directory)
    }
    func refusal(_ listener: Listener, _ accessFile: String?) async -> StartError? {
      var options = ServiceOptions(listener)
      options.accessFile = accessFile
      let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
      do {
        try await RepriseServer.start(store, options, logger: logger).stop()
        return nil
      } catch {
        return error as? StartError
      }
    }
    let local = await refusal(.tcp(host: "127.0.0.1", port: 0), nil)
    #expect(local == .tokensNeeded(address: "127.0.0.1:0"))
    let path = directory + "-access.json"
    defer { try? FileManager.default.removeItem(atPath: path) }
    try Self.write(["reader"], to: path)
    #expect(await refusal(.tcp(host: "127.0.0.1", port: 0), path) == nil)
    let open = await refusal(.tcp(host: "0.0.0.0", port: 0), path)
    #expect(open == .encryptionNeeded(address: "0.0.0.0:0"))
  }
}

extension LineConnection {
  /// Sends one call and returns the line that answers it.
  func ask(_ call: Call) -> String {
    var writer = JSONWriter()
    Request(id: .number(1), call: call).write(to: &writer)
    send(String(decoding: writer.bytes, as: UTF8.self))
    return line() ?? "no answer"
  }
}
