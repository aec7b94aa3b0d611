import Access
import CorpusStore
import Foundation
import Logging
import NIOCore
import RepriseClient
import TestSupport
import Testing
import WireProtocol

@testable import RepriseServer

/// Metrics and health over HTTP, for ordinary and for hostile clients.
@Suite struct HTTPTests {
  /// The HTTP port alone, without a started service behind it.
  private final class Fixture {
    let directory = NSTemporaryDirectory() + "reprise-\(UUID().uuidString.prefix(8))"
    let store: Store
    let application: Application
    let listening: HTTPListening

    init(_ options: ServiceOptions) async throws {
      store = try Store(path: directory)
      application = try Application(
        store, options, Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
      listening = try await HTTPListening(
        "127.0.0.1", 0, application, connectionsMax: options.httpConnectionsMax)
    }

    func connect() throws -> HTTPConnection {
      try HTTPConnection(port: listening.channel.localAddress?.port ?? 0)
    }

    func stop() async throws {
      await listening.close()
      store.close()
      try FileManager.default.removeItem(atPath: directory)
    }
  }

  private func withFixture(
    _ options: ServiceOptions = ServiceOptions(), _ body: (Fixture) throws -> Void
  ) async throws {
    let fixture = try await Fixture(options)
    let result = Result { try body(fixture) }
    try await fixture.stop()
    try result.get()
  }

  private static func options(_ change: (inout ServiceOptions) -> Void) -> ServiceOptions {
    var options = ServiceOptions()
    change(&options)
    return options
  }

  @Test func healthFollowsTheServiceFromItsStartToItsEnd() async throws {
    try await withFixture { fixture in
      let connection = try fixture.connect()
      func expect(_ status: Int, _ body: String) {
        let ready = connection.get("/health/ready")
        #expect(ready?.status == status && ready?.body == body, "\(ready?.body ?? "closed")")
        let live = connection.get("/health/live")
        #expect(live?.status == 200 && live?.body == "live\n")
      }
      expect(503, "not ready: the start\n")
      fixture.application.service.setReady()
      expect(200, "ready\n")
      fixture.application.service.setStopping()
      expect(503, "not ready: another start: the service is stopping\n")
    }
  }

  @Test func metricsAreWhatTheSocketTells() async throws {
    func listen(_ options: inout ServiceOptions) { options.http = ("127.0.0.1", 0) }
    try await withService(listen) { fixture in
      let connection = try HTTPConnection(port: try #require(fixture.service.httpPort))
      let answer = try #require(connection.get("/metrics"))
      #expect(answer.status == 200)
      #expect(answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8")
      let told = try await fixture.client.metrics()
      // The same series; some values have increased.
      func names(_ text: String) -> [Substring] {
        text.split(separator: "\n").map { $0.hasPrefix("#") ? $0 : $0.prefix { $0 != " " } }
          .filter { !$0.contains("server.metrics") }
      }
      #expect(
        names(answer.body).filter { !$0.hasPrefix("reprise_request_duration") }
          == names(told).filter { !$0.hasPrefix("reprise_request_duration") })
      #expect(connection.get("/metrics?x=1")?.status == 200)
    }
  }

  @Test func onlyWhatIsThereIsAnswered() async throws {
    try await withFixture { fixture in
      let connection = try fixture.connect()
      for path in ["/", "/metrics/", "/health", "/health/ready/x", "//metrics", "/%6detrics"] {
        #expect(connection.get(path)?.status == 404, "\(path)")
      }
      for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE"] {
        connection.send("\(method) /metrics HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc")
        let answer = connection.response()
        #expect(answer?.status == 405 && answer?.headers["allow"] == "GET, HEAD", "\(method)")
      }
      connection.send("HEAD /health/live HTTP/1.1\r\nhost: a\r\n\r\n")
      let head = connection.response(toHead: true)
      #expect(head?.status == 200 && head?.headers["content-length"] == "5")
      // No body came: the next answer begins where the head ended.
      #expect(connection.get("/health/live")?.body == "live\n")
    }
  }

  @Test func requestsMayBePipelinedAndConnectionsClosed() async throws {
    try await withFixture { fixture in
      let connection = try fixture.connect()
      connection.send(
        String(repeating: "GET /metrics HTTP/1.1\r\nhost: a\r\n\r\n", count: 20)
          + "GET /health/live HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
      for _ in 0..<20 {
        #expect(connection.response()?.body.hasPrefix("# HELP reprise_build_info") == true)
      }
      let last = connection.response()
      #expect(last?.body == "live\n" && last?.headers["connection"] == "close")
      #expect(connection.isClosed)
    }
  }

  @Test func answersThatNobodyTakesAreNotMade() async throws {
    try await withFixture { fixture in
      let connection = try fixture.connect()
      let count = 1500
      // Some 30 MB of answers, which no client reads.
      connection.send(String(repeating: "GET /metrics HTTP/1.1\r\nhost: a\r\n\r\n", count: count))
      let other = try fixture.connect()
      func made() -> Double {
        MetricsTests.samples(other.get("/metrics")?.body ?? "")["reprise_scrapes_total"] ?? 0
      }
      var (before, now) = (0.0, made())
      // Until only the requested connections are left.
      while now > before + 1 {
        for _ in 0..<100 { #expect(other.get("/health/live")?.status == 200) }
        (before, now) = (now, made())
      }
      // The kernel's own memory for a connection is some hundreds of bytes.
      #expect(now < Double(count))
      for _ in 0..<count {
        guard let answer = connection.response() else {
          Issue.record("the connection was closed")
          break
        }
        #expect(answer.status == 200)
      }
    }
  }

  @Test func linesThatAreNotRequestsAreRefused() async throws {
    try await withFixture { fixture in
      for garbage in ["\r\n\r\n\r\nx", "GET\r\n\r\n", "\u{1}\u{2}\u{3}\r\n\r\n", "{}\n"] {
        let connection = try fixture.connect()
        connection.send(garbage)
        #expect(connection.response()?.status == 400, "\(garbage)")
        #expect(connection.isClosed, "\(garbage)")
      }
    }
  }

  /// Requests that are longer than any client needs.
  enum LargeRequest: CaseIterable {
    case header, path, headers, body, chunks, draft, draftInChunks, oneByteTooMany

    var status: Int {
      switch self {
      case .header, .path, .headers: 431
      case .body, .chunks, .draft, .draftInChunks, .oneByteTooMany: 413
      }
    }
    var kind: String { "limit_exceeded" }

    var text: String {
      func long(_ text: String, _ count: Int) -> String { String(repeating: text, count: count) }
      switch self {
      case .header: return "GET /metrics HTTP/1.1\r\nx: \(long("a", 200_000))\r\n\r\n"
      case .path: return "GET /\(long("a", 200_000)) HTTP/1.1\r\n\r\n"
      case .headers: return "GET / HTTP/1.1\r\n\(long("x: y\r\n", 20_000))\r\n"
      case .body:
        return "POST / HTTP/1.1\r\ncontent-length: 200000\r\n\r\n\(long("a", 200_000))"
      case .chunks:
        return "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n"
          + long("1\r\na\r\n", 50_000)
      // More than fits into all buffers on the way: the client gets its answer only if the service
      // reads on.
      case .draft:
        return "POST /v1/draft HTTP/1.1\r\ncontent-length: 20000000\r\n\r\n\(long("a", 20_000_000))"
      case .draftInChunks:
        return "POST /v1/draft HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n"
          + long("186a0\r\n\(long("a", 100_000))\r\n", 100)
      case .oneByteTooMany:
        return "POST /v1/draft HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n"
          + "400001\r\n\(long("a", (4 << 20) + 1))\r\n0\r\n\r\n"
      }
    }
  }

  @Test(arguments: LargeRequest.allCases)
  func largeRequestsAreCutOff(request: LargeRequest) async throws {
    try await withFixture { fixture in
      let connection = try fixture.connect()
      #expect(connection.send(request.text))
      // What went wrong: the connection was closed without an answer, so clients reported "empty
      // reply".
      let answer = try #require(connection.response())
      #expect(answer.status == request.status && answer.headers["connection"] == "close")
      let body = try #require(
        JSONSerialization.jsonObject(with: Data(answer.body.utf8)) as? [String: Any])
      let error = try #require(body["error"] as? [String: Any])
      #expect((error["data"] as? [String: Any])?["kind"] as? String == request.kind, "\(error)")
      #expect(connection.isClosed)
      #expect(try fixture.connect().get("/health/live")?.status == 200)
    }
  }

  @Test func thereIsRoomForSoManyConnections() async throws {
    try await withFixture { fixture in
      var open: [HTTPConnection] = []
      for _ in 0..<64 {
        let connection = try fixture.connect()
        #expect(connection.get("/health/live")?.status == 200)
        open.append(connection)
      }
      let refused = try fixture.connect()
      #expect(refused.response()?.status == 503 && refused.isClosed)
      open.removeLast()
      // The service sees the end of a connection a moment later.
      while try fixture.connect().get("/health/live")?.status != 200 {}
    }
  }

  @Test func holdersOfTokensAreNotRevealed() async throws {
    let access = NSTemporaryDirectory() + "reprise-\(UUID().uuidString.prefix(8)).json"
    defer { try? FileManager.default.removeItem(atPath: access) }
    let token = "rp_a-token-of-somebody"
    try AccessFile.add(
      AccessFile.Entry(
        grant: Grant(name: "somebody", corpora: [.all], rights: .all),
        digest: TokenDigest(token: token)),
      to: access)
    try await withFixture(Self.options { $0.accessFile = access }) { fixture in
      let connection = try fixture.connect()
      for path in ["/metrics", "/health/live", "/health/ready", "/"] {
        let body = try #require(connection.get(path)).body
        #expect(!body.contains("somebody") && !body.contains(token), "\(path)")
      }
    }
  }
}
