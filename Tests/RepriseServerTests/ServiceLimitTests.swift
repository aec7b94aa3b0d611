import RepriseClient
import RepriseModel
import RepriseServer
import TestSupport
import Testing
import WireProtocol

/// The limits of connections and sessions: at the bound everything works, beyond it an error names
/// the bound, and released room can be used again.
@Suite struct ServiceLimitTests {
  private static func open(
    _ prompt: Int = 0, named name: String? = nil
  ) -> Call {
    .sessionOpen(
      SessionOpen(
        corpus: "c", session: name, prompt: [Int32](repeating: 1, count: prompt), share: .never))
  }

  private static func step(_ session: String, accepting count: Int) -> Call {
    var step = SessionStep()
    step.append(session: session, accept: [Int32](repeating: 2, count: count))
    return .sessionStep(step)
  }

  private static func exceeds(_ answer: String, _ limit: String) -> Bool {
    answer.contains("\"kind\":\"limit_exceeded\"") && answer.contains("\"limit\":\"\(limit)\"")
  }

  @Test func connectionsHaveABound() async throws {
    // The fixture's client has one.
    let fixture = try await ServiceFixture { $0.limits.connectionsMax = 3 }
    let (first, second) = (try LineConnection(fixture.socket), try LineConnection(fixture.socket))
    #expect(first.ask(.healthLive).contains("true") && second.ask(.healthLive).contains("true"))
    // Beyond the limit there is room for two connections that help to make room.
    let beyond = [try LineConnection(fixture.socket), try LineConnection(fixture.socket)]
    for connection in beyond { #expect(connection.ask(.corpusList).contains("corpora")) }
    let third = try LineConnection(fixture.socket)
    #expect(Self.exceeds(third.line() ?? "", "connections"))
    #expect(third.line() == nil)
    // They may not be used as workers use theirs, and are then closed.
    #expect(Self.exceeds(beyond[0].ask(Self.open(named: "x")), "connections"))
    #expect(beyond[0].line() == nil)
    // Open connections are not affected.
    #expect(first.ask(.healthLive).contains("true"))
    second.close()
    // The service sees the end of a connection a moment later.
    var answer = ""
    while !answer.contains("true") {
      let again = try LineConnection(fixture.socket)
      answer = again.ask(Self.open(named: "y"))
      if answer.contains("\"result\"") { answer = "true" }
      again.close()
    }
    first.close()
    try await fixture.stop()
  }

  @Test func sessionsOfOneConnectionHaveABound() async throws {
    let fixture = try await ServiceFixture { $0.limits.connectionSessionsMax = 2 }
    let (one, other) = (try LineConnection(fixture.socket), try LineConnection(fixture.socket))
    #expect(one.ask(Self.open(named: "a")).contains("\"result\""))
    #expect(one.ask(Self.open(named: "b")).contains("\"result\""))
    #expect(Self.exceeds(one.ask(Self.open(named: "d")), "connection_sessions"))
    #expect(other.ask(Self.open(named: "d")).contains("\"result\""))
    // Whichever connection closes it.
    #expect(other.ask(.sessionClose(SessionClose(session: "a"))).contains("\"result\""))
    #expect(one.ask(Self.open(named: "e")).contains("\"result\""))
    #expect(Self.exceeds(one.ask(Self.open(named: "f")), "connection_sessions"))
    for connection in [one, other] { connection.close() }
    try await fixture.stop()
  }

  @Test(arguments: ["session_tokens", "connection_session_tokens"])
  func textOfSessionsHasABound(_ limit: String) async throws {
    let fixture = try await ServiceFixture { options in
      if limit == "session_tokens" {
        options.limits.sessionTokensMax = 100
      } else {
        options.limits.connectionSessionTokensMax = 100
      }
    }
    let connection = try LineConnection(fixture.socket)
    #expect(Self.exceeds(connection.ask(Self.open(101)), limit))
    #expect(connection.ask(Self.open(90, named: "a")).contains("\"result\""))
    #expect(Self.exceeds(connection.ask(Self.open(11, named: "b")), limit))
    #expect(connection.ask(Self.step("a", accepting: 9)).contains("\"match_length\""))
    #expect(Self.exceeds(connection.ask(Self.step("a", accepting: 2)), limit))
    #expect(connection.ask(Self.step("a", accepting: 1)).contains("\"match_length\""))
    #expect(Self.exceeds(connection.ask(Self.step("a", accepting: 1)), limit))
    // The session continues, and ends.
    #expect(connection.ask(Self.step("a", accepting: 0)).contains("\"match_length\""))
    #expect(connection.ask(.sessionClose(SessionClose(session: "a"))).contains("\"result\""))
    #expect(connection.ask(Self.open(100, named: "b")).contains("\"result\""))
    connection.close()
    try await fixture.stop()
  }

  @Test func unnamedSessionsEndWithTheirConnection() async throws {
    let fixture = try await ServiceFixture()
    let connection = try LineConnection(fixture.socket)
    for name in [nil, "named"] {
      let open = Call.sessionOpen(SessionOpen(corpus: "c", session: name, prompt: []))
      #expect(connection.ask(open).contains("\"result\""))
    }
    #expect(connection.ask(Self.step("s1", accepting: 5)).contains("\"match_length\""))
    // A long prompt is indexed on another thread; its session may be ready after its connection has
    // ended.
    let long = Call.sessionOpen(
      SessionOpen(corpus: "c", prompt: [Int32](repeating: 3, count: 60_000)))
    var writer = JSONWriter()
    Request(id: .number(9), call: long).write(to: &writer)
    connection.send(String(decoding: writer.bytes, as: UTF8.self))
    connection.close()
    // The session's output is then part of the history.
    while try await fixture.client.stats(ofCorpus: "c").tokens < 5 { await Task.yield() }
    while try await fixture.client.stats(ofCorpus: "c").sessions > 1 { await Task.yield() }
    let other = try LineConnection(fixture.socket)
    #expect(other.ask(Self.step("s1", accepting: 0)).contains("session_not_found"))
    #expect(other.ask(Self.step("named", accepting: 1)).contains("\"match_length\""))
    other.close()
    try await fixture.stop()
  }

  @Test func requestsThatWaitHaveABoundAndAllAreAnswered() async throws {
    let fixture = try await ServiceFixture { $0.limits.pipelinedRequestsMax = 2 }
    let connection = try LineConnection(fixture.socket)
    var writer = JSONWriter()
    for number in 0..<200 {
      let insert = SequenceInsert(corpus: "c", sequences: [.init(id: "\(number)", tokens: [1, 2])])
      Request(id: .number(Int64(number)), call: .sequenceInsert(insert)).write(to: &writer)
    }
    connection.send(String(decoding: writer.bytes, as: UTF8.self))
    for _ in 0..<200 { #expect(connection.line()?.contains("\"inserted\":1") == true) }
    connection.close()
    try await fixture.stop()
  }

  @Test func sessionsAreRefusedBeforeMemoryRunsOut() async throws {
    let fixture = try await ServiceFixture { $0.limits.memoryBytesMax = 1 << 20 }
    let connection = try LineConnection(fixture.socket)
    let answer = connection.ask(Self.open())
    #expect(answer.contains("\"kind\":\"busy\"") && answer.contains("retry_after_ms"))
    #expect(connection.ask(.speculate(Speculate(corpus: "c", context: [1]))).contains("\"result\""))
    connection.close()
    try await fixture.stop()
  }

  @Test func insertsAreRefusedBeforeTheDiskIsFull() async throws {
    let fixture = try await ServiceFixture { $0.limits.storeBytesMax = 1 }
    let connection = try LineConnection(fixture.socket)
    let insert = Call.sequenceInsert(SequenceInsert(corpus: "c", sequences: [.init(tokens: [1])]))
    // The corpus was created after the service last read the disk usage.
    var answer = connection.ask(insert)
    while answer.contains("\"result\"") { answer = connection.ask(insert) }
    #expect(answer.contains("\"kind\":\"storage_full\"") && answer.contains("store_bytes"))
    #expect(connection.ask(.speculate(Speculate(corpus: "c", context: [1]))).contains("\"result\""))
    connection.close()
    try await fixture.stop()
  }

  @Test func everyLimitIsShownAndHasItsRange() async throws {
    let fixture = try await ServiceFixture()
    let shown = try await fixture.client.serverInfo().limits
    #expect(shown.count == Limit.all.count && Set(shown.keys).count == Limit.all.count)
    for limit in Limit.all {
      let value = Limits()[keyPath: limit.keyPath]
      #expect(shown[limit.name] == value, "\(limit.name)")
      #expect(limit.range.contains(value), "\(limit.name)")
    }
    try await fixture.stop()
  }
}
