import Access
import CorpusStore
import Foundation
import Logging
import NIOCore
import RepriseClient
import RepriseModel
import TestSupport
import Testing
import WireProtocol

@testable import RepriseServer

/// `POST /v1/draft`, as engines' external drafters use it.
@Suite struct PrefixDraftTests {
  private static let token = "rp_0123456789abcdef0123456789abcdef"

  /// Posts a body.
  private typealias Post = (String) -> (status: Int, body: String)?

  /// A service with an access file whose one holder may draft from and insert into corpus "c".
  private func withDrafter(
    _ body: (ServiceFixture, Post) async throws -> Void
  ) async throws {
    let file = NSTemporaryDirectory() + "access-\(UUID().uuidString.prefix(8)).json"
    try AccessFile.add(
      AccessFile.Entry(
        grant: Grant(
          name: "engine", corpora: ["c", "d"].compactMap { CorpusPattern($0) },
          rights: try Rights(names: ["draft", "insert"])),
        digest: TokenDigest(token: Self.token)),
      to: file)
    let fixture = try await ServiceFixture(token: Self.token) { options in
      options.http = ("127.0.0.1", 0)
      options.accessFile = file
    }
    let connection = try HTTPConnection(port: try #require(fixture.service.httpPort))
    func post(_ body: String) -> (status: Int, body: String)? {
      connection.send(
        "POST /v1/draft HTTP/1.1\r\nhost: a\r\nauthorization: Bearer \(Self.token)\r\n"
          + "content-type: application/json\r\ncontent-length: \(body.utf8.count)\r\n\r\n\(body)")
      return connection.response().map { ($0.status, $0.body) }
    }
    do {
      try await body(fixture, post)
    } catch {
      try await fixture.stop()
      throw error
    }
    try await fixture.stop()
    try FileManager.default.removeItem(atPath: file)
  }

  private static func request(_ prefix: [Int32], id: Int? = nil, _ more: String = "") -> String {
    "{\"corpus\":\"c\",\"prefix\":\(prefix)" + (id.map { ",\"request_id\":\($0)" } ?? "") + more
      + "}"
  }

  /// What went wrong: models of two vocabularies wrote into one history, and an id that a model
  /// does not have would have ended its process.
  @Test func noDraftedIDIsBeyondTheVocabulary() async throws {
    try await withDrafter { fixture, post in
      _ = try await fixture.client.insert([sequence([1, 2, 128_255, 128_256, 151_935])], into: "c")
      let bound = ",\"max_factor\":4,\"vocabulary\":128256"
      for id in [nil, 7] {
        #expect(post(Self.request([1, 2], id: id, bound))?.body == "{\"draft_tokens\":[128255]}\n")
      }
      #expect(
        post(Self.request([1, 2], ",\"max_factor\":4"))?.body
          == "{\"draft_tokens\":[128255,128256,151935]}\n")
      #expect(post(Self.request([1, 2], ",\"vocabulary\":0"))?.status == 400)
      // With a corpus's own bound, the error names the place in the body.
      _ = try await fixture.client.createCorpus("d", CorpusSettings(vocabulary: 10))
      let other = Self.request([1, 2], id: 8).replacing("\"c\"", with: "\"d\"")
      #expect(post(other)?.status == 200)
      let beyond = try #require(
        post(Self.request([1, 2, 3, 10], id: 8).replacing("\"c\"", with: "\"d\"")))
      #expect(beyond.status == 400 && beyond.body.contains("\"member\":\"body.prefix[3]\""))
    }
  }

  @Test func aRequestWithoutIDDraftsFromTheSharedHistory() async throws {
    try await withDrafter { fixture, post in
      _ = try await fixture.client.insert([sequence([1, 2, 3, 4, 5, 6])], into: "c")
      let answer = try #require(post(Self.request([9, 1, 2, 3], ",\"max_factor\":4")))
      #expect(answer.status == 200 && answer.body == "{\"draft_tokens\":[4,5,6]}\n")
      #expect(try #require(post(Self.request([7, 8]))).body == "{\"draft_tokens\":[]}\n")
    }
  }

  /// The request's own text is drafted from too; it joins the history when another prefix comes
  /// under its id.
  @Test func aRequestIsASession() async throws {
    try await withDrafter { fixture, post in
      let prompt: [Int32] = [1, 2, 3, 4, 5, 1, 2]
      let first = try #require(post(Self.request(prompt, id: 7)))
      #expect(first.body == "{\"draft_tokens\":[3,4]}\n")
      let second = try #require(post(Self.request(prompt + [3, 9, 1, 2, 3], id: 7)))
      #expect(second.body == "{\"draft_tokens\":[4,5,1]}\n")
      #expect(try await fixture.client.stats(ofCorpus: "c").sessions == 1)
      // Tokens that were sent before add nothing.
      let again = try #require(post(Self.request(prompt + [3, 9, 1, 2, 3], id: 7)))
      #expect(again.body == second.body)
      #expect(try await fixture.client.stats(ofCorpus: "c").openTokens == prompt.count + 5)
      // An engine that was restarted counts from 1 again.
      #expect(try #require(post(Self.request([50, 51], id: 7))).status == 200)
      while try await fixture.client.stats(ofCorpus: "c").tokens < 5 { await Task.yield() }
      let shared = try #require(post(Self.request([60, 3, 9], id: 8)))
      #expect(shared.body == "{\"draft_tokens\":[1,2]}\n")
    }
  }

  @Test func nothingFollowsTheEndAndNoMoreThanFits() async throws {
    try await withDrafter { fixture, post in
      _ = try await fixture.client.insert([sequence([1, 2, 3, 4, 5, 6])], into: "c")
      func tokens(_ more: String) -> String? {
        post(Self.request([1, 2], ",\"max_factor\":16" + more))?.body
      }
      #expect(tokens("") == "{\"draft_tokens\":[3,4,5,6]}\n")
      #expect(tokens(",\"end_id\":4") == "{\"draft_tokens\":[3,4]}\n")
      #expect(tokens(",\"end_id\":-1") == "{\"draft_tokens\":[3,4,5,6]}\n")
      #expect(tokens(",\"end_id\":null") == "{\"draft_tokens\":[3,4,5,6]}\n")
      #expect(tokens(",\"max_sequence_length\":4") == "{\"draft_tokens\":[3]}\n")
      #expect(tokens(",\"max_sequence_length\":3") == "{\"draft_tokens\":[]}\n")
      #expect(tokens(",\"max_sequence_length\":1") == "{\"draft_tokens\":[]}\n")
    }
  }

  @Test func mistakesAreNamed() async throws {
    try await withDrafter { fixture, post in
      let wrong: [(body: String, status: Int, kind: String)] = [
        ("", 400, "parse_error"), ("[]", 400, "invalid_request"), ("{}", 400, "invalid_params"),
        (Self.request([-1]), 400, "invalid_params"),
        (Self.request([1], ",\"tree\":true"), 400, "invalid_params"),
        (Self.request([1], ",\"colour\":1"), 400, "invalid_params"),
        ("{\"corpus\":\"d\",\"prefix\":[1]}", 404, "corpus_not_found"),
        ("{\"corpus\":\"e\",\"prefix\":[1]}", 404, "corpus_not_found"),
      ]
      for (body, status, kind) in wrong {
        let answer = try #require(post(body))
        #expect(
          answer.status == status && answer.body.contains("\"kind\":\"\(kind)\""), "\(answer)")
      }
      // Without a token, with a wrong one, and with one in the body.
      let other = try HTTPConnection(port: try #require(fixture.service.httpPort))
      func status(_ body: String, _ head: String = "") -> Int? {
        other.send(
          "POST /v1/draft HTTP/1.1\r\nhost: a\r\n\(head)content-length: \(body.utf8.count)\r\n\r\n"
            + body)
        return other.response()?.status
      }
      #expect(status(Self.request([1])) == 401)
      #expect(status(Self.request([1]), "authorization: Bearer wrong\r\n") == 401)
      #expect(status(Self.request([1], ",\"token\":\"\(Self.token)\"")) == 200)
    }
  }

  @Test func aLongPrefixIsTakenAndATooLongBodyIsNot() async throws {
    try await withDrafter { fixture, post in
      let prefix = (0..<100_000).map { Int32($0 % 70_000) }
      let answer = try #require(post(Self.request(prefix, id: 1)))
      #expect(answer.status == 200 && answer.body.hasPrefix("{\"draft_tokens\":[30000,"))
      let large = try HTTPConnection(port: try #require(fixture.service.httpPort))
      large.send(
        "POST /v1/draft HTTP/1.1\r\nhost: a\r\ncontent-length: 5000000\r\n\r\n"
          + String(repeating: " ", count: 5_000_000))
      #expect(large.response()?.status == 413 && large.isClosed)
    }
  }

  /// Sessions that it opened then would not be recorded.
  @Test func noneIsGivenWhenTheServiceStops() async throws {
    try await withDrafter { fixture, post in
      var options = ServiceOptions()
      options.accessFile = fixture.accessFile
      let application = try Application(
        fixture.store, options, Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
      let drafter = PrefixDrafter(application)
      let body = ByteBuffer(string: Self.request([1], id: 1))
      #expect(throws: Never.self) { try drafter.draft(body.readableBytesSpan, bearer: Self.token) }
      application.service.setStopping()
      let error = #expect(throws: WireError.self) {
        try drafter.draft(body.readableBytesSpan, bearer: Self.token)
      }
      #expect(error?.kind == .busy)
    }
  }

  /// Sessions that clients have named do not conflict with those that are created here.
  @Test func namesOfClientsSessionsAreTheirOwn() async throws {
    try await withDrafter { fixture, post in
      for number in 0..<3 {
        _ = try await fixture.client.openSession(
          corpus: "c", prompt: [], name: "s\(number)")
      }
      #expect(try #require(post(Self.request([1, 2], id: 1))).status == 200)
    }
  }

  /// Without an access file no client may draft through a port.
  @Test func withoutAnAccessFileNobodyMay() async throws {
    try await withService {
      $0.http = ("127.0.0.1", 0)
    } _: { fixture in
      let connection = try HTTPConnection(port: try #require(fixture.service.httpPort))
      let body = Self.request([1], ",\"token\":\"\(Self.token)\"")
      connection.send(
        "POST /v1/draft HTTP/1.1\r\nhost: a\r\ncontent-length: \(body.utf8.count)\r\n\r\n\(body)")
      let answer = try #require(connection.response())
      #expect(answer.status == 401 && answer.body.contains("access file"))
    }
  }
}
