import CorpusStore
import Foundation
import RepriseClient
import RepriseModel
import RepriseServer
import TestSupport
import Testing
import WireProtocol

/// Compares docs/guide/openrpc.json and docs/guide/protocol.md with the code in both directions, so
/// that an addition to one of them alone fails here.
@Suite struct ProtocolDocumentTests {
  let document: OpenRPCDocument
  let page: ProtocolPage

  init() throws {
    document = try OpenRPCDocument()
    page = try ProtocolPage()
  }

  // MARK: The documents alone

  @Test func theDocumentIsWellFormed() throws {
    let root = document.root
    #expect(root["openrpc"]?.string == "1.3.2")
    let members = Set(try #require(root.object).keys)
    #expect(members.isSubset(of: ["openrpc", "info", "servers", "methods", "components"]))
    #expect(root["info"]?["title"]?.string != nil && root["info"]?["version"]?.string != nil)
    #expect((root["servers"]?.array ?? []).allSatisfy { $0["url"]?.string != nil })
    let allowed: Set<String> = [
      "name", "summary", "description", "paramStructure", "params", "result", "errors", "examples",
      "x-exactly-one",
    ]
    for method in try #require(root["methods"]?.array) {
      let name = try #require(method["name"]?.string)
      let members = Set(try #require(method.object).keys)
      #expect(members.isSubset(of: allowed), "\(name)")
      #expect(method["paramStructure"]?.string == "by-name", "\(name)")
      let params = try #require(method["params"]?.array)
      let names = params.compactMap { $0["name"]?.string }
      #expect(names.count == params.count && Set(names).count == names.count, "\(name)")
      for param in params + [try #require(method["result"])] {
        #expect(param["name"]?.string != nil && param["schema"]?.object != nil, "\(name)")
      }
      for example in try #require(method["examples"]?.array) {
        #expect(example["name"]?.string?.isEmpty == false, "\(name)")
        for value in try #require(example["params"]?.array) + [try #require(example["result"])] {
          #expect(value["name"]?.string != nil && value["value"] != nil, "\(name)")
        }
      }
      #expect(method["examples"]?.array?.isEmpty == false, "\(name)")
    }
    for (kind, error) in root["components"]?["errors"]?.object ?? [:] {
      #expect(error["code"]?.integer != nil && error["message"]?.string?.isEmpty == false)
      #expect(error["data"]?["kind"]?.string == kind)
    }
  }

  @Test func everyReferenceLeadsSomewhere() throws {
    func references(_ value: JSON) -> [String] {
      switch value {
      case .object(let members):
        (members["$ref"]?.string.map { [$0] } ?? []) + members.values.flatMap(references)
      case .array(let elements): elements.flatMap(references)
      default: []
      }
    }
    let used = Set(references(document.root))
    for reference in used {
      let found = reference.split(separator: "/").dropFirst()
        .reduce(document.root as JSON?) { $0?[String($1)] }
      #expect(found != nil && reference.hasPrefix("#/"), "\(reference)")
    }
    for name in document.schemas.keys {
      #expect(used.contains("#/components/schemas/\(name)"), "\(name) is used nowhere")
    }
  }

  // MARK: Names

  @Test func bothNameEveryMethod() {
    let names = Method.allCases.map(\.name).sorted()
    #expect(document.methods.map(\.name).sorted() == names)
    #expect(page.methods.keys.sorted() == names)
  }

  @Test func bothNameTheSameParams() {
    for method in document.methods {
      let params = Dictionary(
        uniqueKeysWithValues: method.params.properties.keys.map { name in
          (name, method.params.required.contains(name))
        })
      #expect(page.methods[method.name] == params, "\(method.name)")
    }
  }

  @Test func bothNameEveryErrorWithItsCodeAndData() {
    let kinds = ErrorKind.allCases
    #expect(document.errors.keys.sorted() == kinds.map(\.rawValue).sorted())
    #expect(page.errors.keys.sorted() == kinds.map(\.rawValue).sorted())
    for kind in kinds {
      #expect(document.errors[kind.rawValue]?.code == kind.code)
      #expect(page.errors[kind.rawValue]?.code == kind.code)
      #expect(
        page.errors[kind.rawValue]?.data == document.errors[kind.rawValue]?.data, "\(kind)")
    }
  }

  @Test func bothNameEveryLimitWithItsDefaultAndRange() {
    let documented = JSONSchema(document.schemas["Limits"] ?? .null, document.schemas).properties
    #expect(documented.keys.sorted() == Limit.all.map(\.name.rawValue).sorted())
    #expect(page.limits.keys.sorted() == Limit.all.map(\.name.rawValue).sorted())
    for limit in Limit.all {
      let standard = Limits()[keyPath: limit.keyPath]
      let keywords = documented[limit.name.rawValue]?.keywords ?? [:]
      #expect(keywords["default"]?.integer == standard, "\(limit.name)")
      #expect(keywords["minimum"]?.integer == limit.range.lowerBound, "\(limit.name)")
      #expect(keywords["maximum"]?.integer == limit.range.upperBound, "\(limit.name)")
      #expect(page.limits[limit.name.rawValue]?.standard == standard, "\(limit.name)")
      #expect(page.limits[limit.name.rawValue]?.range == limit.range, "\(limit.name)")
    }
  }

  /// The bound in a schema equals the limit's default.
  @Test func boundsInSchemasAreTheLimits() {
    let standards = Dictionary(
      uniqueKeysWithValues: Limit.all.map { ($0.name.rawValue, Limits()[keyPath: $0.keyPath]) })
    func check(_ schema: JSON) {
      for child in (schema.object ?? [:]).values { check(child) }
      for child in schema.array ?? [] { check(child) }
      guard let limit = schema["x-limit"]?.string else { return }
      let bound = schema["maximum"] ?? schema["maxLength"] ?? schema["maxItems"]
      // These bounds cannot be set.
      let isFixed = ["corpus_name_bytes", "engine_bytes"].contains(limit)
      #expect(bound?.integer == (isFixed ? 64 : standards[limit]), "\(limit)")
    }
    check(document.root)
  }

  // MARK: Params, in the code's reading

  /// The reason why a request cannot be read; nil if it can.
  private func refusal(_ method: String, _ params: JSON) -> WireError? {
    switch read(method, params) {
    case .failure(let bad): bad.error
    case .success(let request): request.call.refusals.values.first
    }
  }

  private func read(_ method: String, _ params: JSON) -> Result<Request, BadRequest> {
    let line = [UInt8](requestLine(method, params.object ?? [:]).utf8.dropLast())
    guard case .one(let request) = unsafe RequestReader(limits: Limits()).read(line.span.bytes)
    else {
      fatalError("a line of one request is none")
    }
    return request
  }

  /// Every name in the reader's source is sent to every method, in every object: it must be read
  /// where it is documented, and nowhere else.
  @Test func noMemberIsReadThatIsNotDocumented() throws {
    let sources = OpenRPCDocument.directory.appendingPathComponent("../../Sources/WireProtocol")
    var names: Set<String> = []
    for file in try FileManager.default.contentsOfDirectory(atPath: sources.path) {
      let text = try String(contentsOfFile: "\(sources.path)/\(file)", encoding: .utf8)
      for match in text.matches(of: /"([a-z_]+)"/) { names.insert(String(match.1)) }
    }
    #expect(names.isSuperset(of: ["corpus", "retention", "min_probability", "age_s"]))
    for method in document.methods {
      for object in method.params.objects(at: "params") {
        for name in names {
          let request = object.with([name: object.schema.sample[name] ?? .integer(1)])
          let isUnknown =
            refusal(method.name, request)?.message.contains("is not known to this method") ?? false
          #expect(
            isUnknown == (object.schema.properties[name] == nil),
            "\(method.name): \(object.place).\(name)")
        }
      }
    }
  }

  @Test func defaultsAreTheDocumentedOnes() throws {
    var compared = 0
    for method in document.methods {
      for object in method.params.objects(at: "params") {
        for (name, property) in object.schema.properties {
          guard let standard = property.keywords["default"] else { continue }
          compared += 1
          if name == "ttl_s" {
            // The reader leaves the default to the service.
            #expect(standard.integer == ServiceOptions().sessionSeconds)
            continue
          }
          let (without, with) = (
            try read(method.name, object.with([:])).get().call,
            try read(method.name, object.with([name: standard])).get().call
          )
          #expect(without == with, "\(method.name): \(object.place).\(name)")
        }
      }
    }
    // Eight draft options twice, six counts of a report, and nine others.
    #expect(compared == 31)
  }

  // MARK: A live service

  /// Compares an answer's shape with the documentation of its method.
  private func check(
    _ answer: JSON, of method: OpenRPCDocument.Method, _ request: @autoclosure () -> String
  ) {
    if let result = answer["result"] {
      #expect(method.result.mistakes(in: result, at: "result") == [], "\(request())")
      for draft in result["drafts"]?.array ?? [] where draft["error"] != nil {
        check(draft, of: method, request())
      }
      return
    }
    let data = answer["error"]?["data"]
    let kind = data?["kind"]?.string ?? "no kind"
    #expect(
      method.errors.contains(kind), "\(method.name) is not said to answer \(kind): \(request())")
    #expect(
      Set((data?.object ?? [:]).keys).subtracting(["kind"]) == document.errors[kind]?.data,
      "\(kind): \(answer.text)")
    #expect(answer["error"]?["code"]?.integer == document.errors[kind]?.code)
  }

  /// True if an answer is an error about a place.
  private func isError(_ answer: JSON, about boundary: Boundary) -> Bool {
    let answers = [answer] + (answer["result"]?["drafts"]?.array ?? [])
    return answers.contains { answer in
      let data = answer["error"]?["data"]
      return data?["kind"] == "invalid_params" && data?["member"]?.string == boundary.place
        || data?["kind"] == "limit_exceeded" && data?["limit"]?.string == boundary.limit
    }
  }

  @Test func everyBoundIsTheServicesBound() async throws {
    // Small, so that they can be exceeded quickly. Their documented defaults are checked above.
    let small: [LimitName: Int] = [
      .contextTokens: 3, .contexts: 3, .promptTokens: 3, .steps: 3, .acceptTokens: 3,
      .sequences: 3, .sequenceTokens: 3, .sessionNameBytes: 5, .sequenceIDBytes: 5,
      .tokenizerBytes: 5, .forgetIDs: 3, .snapshotNameBytes: 5, .pathBytes: 5,
      .accessTokenBytes: 40, .maxTokens: 50, .corpora: 50,
    ]
    func bind(_ options: inout ServiceOptions) {
      for limit in Limit.all {
        if let value = small[limit.name] { options.limits[keyPath: limit.keyPath] = value }
      }
    }
    try await withService(bind) { fixture in
      let connection = try LineConnection(fixture.socket)
      defer { connection.close() }
      var seen = 0
      for method in document.methods {
        for boundary in method.params.boundaries(
          at: "params", limits: { LimitName(rawValue: $0).flatMap { small[$0] } })
        {
          let params = Self.completed(boundary.value.object ?? [:])
          let answer = try connection.exchange(requestLine(method.name, params))
          check(answer, of: method, "\(JSON.object(params).text)")
          #expect(
            isError(answer, about: boundary) == !boundary.isInside,
            "\(method.name), \(boundary.isInside ? "inside" : "outside") at \(boundary.place): \(answer.text)"
          )
          if boundary.isInside {
            #expect(answer["error"]?["data"]?["kind"] != "invalid_params", "\(answer.text)")
          }
          seen += 1
        }
      }
      #expect(seen > 300)
    }
  }

  /// Adds members that depend on each other, which a schema cannot express.
  private static func completed(_ params: [String: JSON]) -> [String: JSON] {
    var params = params
    if params["durability_ms"] != nil && params["durability"] == nil {
      params["durability"] = "interval"
    }
    if let confirm = params["confirm"], let corpus = params["corpus"] {
      // Either may be the one that is at its bound.
      if confirm == "a", corpus.string?.isEmpty == false { params["confirm"] = corpus }
      if corpus == "a" { params["corpus"] = confirm }
    }
    if params["from"] == "a" && params["into"] == "a" { params["from"] = "b" }
    return params
  }

  @Test func everyExampleOfTheDocumentIsWhatIsAnswered() async throws {
    let service = try await ConversationService(
      token: document.method("server.authenticate")?
        .examples.first?.params["token"]?.string)
    let connection = try LineConnection(service.socket)
    for method in document.methods {
      for example in method.examples {
        let place = "\(method.name), \(example.name)"
        #expect(method.params.mistakes(in: .object(example.params), at: "params") == [], "\(place)")
        #expect(method.result.mistakes(in: example.result, at: "result") == [], "\(place)")
        let answer = try connection.exchange(requestLine(method.name, example.params))
        check(answer, of: method, place)
        #expect(differences(example.result, answer["result"] ?? answer) == [], "\(place)")
      }
    }
    connection.close()
    try await service.stop()
  }

  @Test func theConversationOfThePageIsWhatIsAnswered() async throws {
    let service = try await ConversationService(token: nil)
    let connection = try LineConnection(service.socket)
    #expect(page.lines.count >= 16 && page.lines.count.isMultiple(of: 2))
    for place in stride(from: 0, to: page.lines.count - 1, by: 2) {
      let (request, shown) = (page.lines[place], page.lines[place + 1])
      let answer = try connection.exchange(request)
      #expect(differences(try JSON(parsing: shown), answer, at: "answer") == [], "\(request)")
    }
    connection.close()
    try await service.stop()
  }

  /// Each kind except `internal_error`, which needs a disk that fails.
  @Test func errorsHaveTheDataThatIsDocumented() async throws {
    var seen: Set<String> = ["internal_error"]
    func provoke(
      _ kind: ErrorKind, _ connection: LineConnection, _ method: String = "",
      _ params: [String: JSON] = [:], line: String? = nil
    ) throws {
      let answer = try connection.exchange(line ?? requestLine(method, params))
      #expect(answer["error"]?["data"]?["kind"]?.string == kind.rawValue, "\(answer.text)")
      #expect(answer["error"]?["code"]?.integer == kind.code)
      #expect(
        Set((answer["error"]?["data"]?.object ?? [:]).keys).subtracting(["kind"])
          == document.errors[kind.rawValue]?.data, "\(answer.text)")
      if let method = document.method(method) { check(answer, of: method, answer.text) }
      seen.insert(kind.rawValue)
    }
    try await withService { fixture in
      let connection = try LineConnection(fixture.socket)
      defer { connection.close() }
      func ask(_ method: String, _ params: [String: JSON]) throws {
        let answer = try connection.exchange(requestLine(method, params))
        #expect(answer["result"] != nil, "\(answer.text)")
      }
      let tokens = JSON.array([.integer(1), .integer(2)])
      try provoke(.parseError, connection, line: "{")
      try provoke(.invalidRequest, connection, line: "{}")
      try provoke(.methodNotFound, connection, "session.begin")
      try provoke(.invalidParams, connection, "corpus.stats")
      try provoke(.corpusNotFound, connection, "corpus.stats", ["corpus": "nowhere"])
      try provoke(
        .corpusExists, connection, "corpus.create", ["corpus": "c", "depth": .integer(9)])
      try provoke(.sessionNotFound, connection, "session.close", ["session": "s"])
      try provoke(.unauthorized, connection, "server.authenticate", ["token": "rp_x"])
      try provoke(.snapshotNotFound, connection, "snapshot.delete", ["snapshot": "x"])
      try provoke(
        .limitExceeded, connection, "corpus.stats",
        ["corpus": .string(String(repeating: "x", count: 65))])
      try provoke(
        .tokenizerMismatch, connection, "sequence.insert",
        ["corpus": "c", "tokenizer": "t", "sequences": .array([])])
      try ask("session.open", ["corpus": "c", "session": "s", "prompt": tokens])
      try provoke(
        .conflict, connection, "session.open", ["corpus": "c", "session": "s", "prompt": tokens])
      try ask(
        "sequence.insert", ["corpus": "c", "sequences": .array([.object(["tokens": tokens])])])
      try ask("snapshot.create", ["corpus": "c", "name": "good"])
      let path = "\(fixture.directory)/store/snapshots/good.snapshot"
      let reader = try ReadingService(snapshot: path)
      try await reader.serve { connection in
        try provoke(
          .readOnly, connection, "sequence.insert",
          ["corpus": "c", "sequences": .array([.object(["tokens": tokens])])])
      }
      var bytes = try Data(contentsOf: URL(fileURLWithPath: path))
      bytes[bytes.count / 2] ^= 1
      try bytes.write(to: URL(fileURLWithPath: path))
      try provoke(.corrupt, connection, "snapshot.verify", ["snapshot": "good"])
    }
    try await withService {
      $0.limits.memoryBytesMax = 1 << 20
    } _: { fixture in
      let connection = try LineConnection(fixture.socket)
      defer { connection.close() }
      let open: [String: JSON] = ["corpus": "c", "prompt": .array([])]
      try provoke(.busy, connection, "session.open", open)
    }
    try await withService {
      $0.limits.storeBytesMax = 1
    } _: { fixture in
      let connection = try LineConnection(fixture.socket)
      defer { connection.close() }
      // The corpus was created after the service last read the disk usage.
      let insert = requestLine(
        "sequence.insert",
        ["corpus": "c", "sequences": .array([.object(["tokens": .array([.integer(1)])])])])
      while try connection.exchange(insert)["result"] != nil { await Task.yield() }
      try provoke(.storageFull, connection, line: insert)
    }
    #expect(seen == Set(ErrorKind.allCases.map(\.rawValue)))
  }
}
