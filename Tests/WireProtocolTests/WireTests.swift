import Foundation
import RepriseModel
import TestSupport
import Testing

@testable import WireProtocol

@Suite struct WireTests {
  let reader = RequestReader(limits: Limits())

  func read(_ line: String, _ limits: Limits? = nil) -> RequestLine {
    let reader = limits.map(RequestReader.init) ?? reader
    let bytes = [UInt8](line.utf8)
    return unsafe reader.read(bytes.span.bytes)
  }

  /// The reason why a line is refused, or the first of its steps or contexts; nil if all is
  /// accepted.
  func error(_ line: String, _ limits: Limits? = nil) -> WireError? {
    switch read(line, limits) {
    case .one(.failure(let bad)): bad.error
    case .one(.success(let request)): request.call.refusals.min { $0.key < $1.key }?.value
    case .batch: nil
    }
  }

  static func line(_ request: Request) -> String {
    var writer = JSONWriter()
    request.write(to: &writer)
    return String(decoding: writer.bytes.dropLast(), as: UTF8.self)
  }

  static let steps: SessionStep = {
    var steps = SessionStep()
    steps.append(session: "s1", accept: [1, 2, Int32.max - 1])
    steps.append(
      session: "zwei \"\\\n\u{1}é😀", accept: [],
      options: DraftOptions(
        maxTokens: 7, maxFactor: 1.25, maxOffset: -2, minProbability: 0.5, minMatch: 3, tree: true))
    return steps
  }()

  static let budgeted: SessionStep = {
    var budgeted = steps
    budgeted.budget = 64
    return budgeted
  }()

  /// A call with the cost of its verification.
  static let costed: SessionStep = {
    var costed = steps
    costed.verifyCost = VerifyCost(points: [
      VerifyCost.Point(tokens: 1, time: 20.125), VerifyCost.Point(tokens: 64, time: 21),
    ])
    costed.batch = 3
    return costed
  }()

  static let evenlyCosted: SessionStep = {
    var costed = steps
    costed.verifyCost = VerifyCost(perToken: 0.015)
    return costed
  }()

  /// Every method, with every member that it may carry.
  static let calls: [Call] = operationCalls + ownCalls

  private static let ownCalls: [Call] = [
    .serverInfo, .clientReport(ClientReport()),
    .clientReport(
      ClientReport(engine: "e", steps: 9, missed: [.late: 1, .refused: 0, .unrecorded: 3])),
    .healthLive, .healthReady, .corpusList, .corpusStats(corpus: "c"),
    .corpusCreate(
      CorpusCreate(
        corpus: "c",
        settings: CorpusSettings(
          depth: 32, tokenizer: "t", vocabulary: 151_936, leadIn: 0,
          endIDs: EndIDs([151_643, 151_645])!))),
    .corpusDrop(CorpusDrop(corpus: "c")),
    .sequenceInsert(
      SequenceInsert(
        corpus: "c",
        sequences: [
          NewSequence(id: "a", prompt: [7, 8], tokens: [1, 0]), NewSequence(tokens: [3]),
        ], tokenizer: "t")),
    .speculate(
      Speculate(
        corpus: "c", context: [5, 6, 7],
        options: DraftOptions(policy: .estimate, maxTokens: 4, vocabulary: 8))),
    .speculate(Speculate(corpus: "c", contexts: [[1], [2, 3]])),
    .sessionOpen(
      SessionOpen(
        corpus: "c", session: "s", prompt: [9, 9], parent: "p", share: .close, ttlSeconds: 60,
        vocabulary: 7)),
    .sessionOpen(SessionOpen(corpus: "c", prompt: [])),
    .sessionStep(steps), .sessionStep(budgeted), .sessionStep(costed),
    .sessionStep(evenlyCosted),
    .sessionClose(SessionClose(session: "s", record: false)),
  ]

  @Test(arguments: calls) func requestsRoundTrip(call: Call) throws {
    for id in [RequestID.number(-7), .string("ä\"x"), .null, nil] {
      guard case .one(.success(let request)) = read(Self.line(Request(id: id, call: call))) else {
        Issue.record("\(Self.line(Request(id: id, call: call)))")
        return
      }
      #expect(request.call == call)
      #expect(request.id == id)
    }
  }

  /// An id is echoed as it was written, even if other things are wrong.
  @Test func numbersAndStringsAreIDs() {
    func line(_ id: String, _ params: String = "{}") -> String {
      "{\"params\":\(params),\"id\" : \(id) ,\"jsonrpc\":\"2.0\",\"method\":\"health.live\"}"
    }
    func echoed(_ id: RequestID?) -> String {
      var writer = JSONWriter()
      writer.beginResult(id ?? .null)
      let text = String(decoding: writer.bytes, as: UTF8.self)
      return String(
        text.dropFirst("{\"jsonrpc\":\"2.0\",\"id\":".count)
          .prefix { $0 != "{" }.dropLast(",\"result\":".count))
    }
    let ids = [
      "0", "-7", "9223372036854775807", "9223372036854775808", "18446744073709551615",
      "18446744073709551616", "-9223372036854775809", "1.0", "1.50", "1e3", "1E+3", "-0.0",
      "1e400", "123456789012345678901234567890.5e-7", "\"a,]}\"",
    ]
    for id in ids {
      guard case .one(.success(let request)) = read(line(id)) else {
        Issue.record("\(id) is no id")
        continue
      }
      #expect(echoed(request.id) == id)
      // An id within the params, in text, or of another request is not its own.
      for params in [
        "{\"id\":7.5}", "{\"x\":[{\"id\":1e999}]}", "{\"y\":\"\\\",\\\"id\\\":3.5,\"}",
      ] {
        guard case .one(.failure(let bad)) = read(line(id, params)) else {
          Issue.record("\(params) are taken")
          continue
        }
        #expect(bad.error.kind == .invalidParams && echoed(bad.id) == id, "\(params)")
      }
    }
    let array = "[" + ids.map { line($0) }.joined(separator: " , ") + ",[3.5],7,{\"id\":2.5}]"
    guard case .batch(let requests) = read(array) else {
      Issue.record("a batch is none")
      return
    }
    #expect(requests.prefix(ids.count).map { echoed((try? $0.get())?.id) } == ids)
    if case .failure(let bad) = requests[ids.count + 2] { #expect(echoed(bad.id) == "2.5") }
    // At n − 1, n and n + 1 bytes.
    let digits = String(repeating: "7", count: RequestID.bytesMax)
    #expect(error(line(digits)) == nil && error(line(String(digits.dropLast()))) == nil)
    #expect(error(line(digits + "7"))?.kind == .invalidRequest)
    #expect(error(line("\"\(digits)\"")) == nil)
    #expect(error(line("\"\(digits)7\""))?.kind == .invalidRequest)
  }

  /// A writer that is split goes on as if it had not been, before the first element and after it.
  @Test func aSplitWriterGoesOnWhereItStood() {
    for elements in 0...2 {
      var writer = JSONWriter()
      writer.beginObject()
      let mark = writer.mark
      writer.name("list")
      writer.beginArray()
      for number in 0..<elements { writer.integer(number) }
      var rest = writer.split(since: mark)
      #expect(String(decoding: writer.bytes, as: UTF8.self) == "{")
      rest.integer(7)
      rest.endArray()
      let expected = "[" + ((0..<elements).map(String.init) + ["7"]).joined(separator: ",") + "]"
      #expect(String(decoding: rest.bytes, as: UTF8.self) == "\"list\":" + expected)
      writer.name("next")
      writer.integer(1)
      #expect(String(decoding: writer.bytes, as: UTF8.self) == "{\"next\":1")
    }
  }

  /// The parts of a large step are lines that an event loop reads itself, and hold all steps in
  /// their order.
  @Test func stepsAreSplitByTheirLines() {
    var steps = SessionStep()
    for number in 0..<300 {
      steps.append(
        session: "session-\(number)\u{1}", accept: [Int32](repeating: 12_345, count: number % 40),
        options: DraftOptions(maxTokens: number % 3))
    }
    for max in [1024, 4096, 16_384] {
      let parts = steps.split(lineBytesMax: max)
      #expect(parts.count > 1)
      var joined = SessionStep()
      for part in parts {
        let line = Self.line(Request(id: .number(.max), call: .sessionStep(part)))
        #expect(line.utf8.count <= max)
        for step in part.steps {
          joined.append(
            session: step.session, accept: Array(part.tokens[step.accept]), options: step.options)
        }
      }
      #expect(joined == steps)
    }
    #expect(
      steps.split(lineBytesMax: .max) == [steps] && SessionStep().split(lineBytesMax: 1).count == 1)
    // Each step that is longer has a line of its own.
    #expect(steps.split(lineBytesMax: 64).count == 300)
    // Each part has its share of the budget, and all of it is given.
    var budgeted = steps
    budgeted.budget = 1000
    for max in [64, 1000, 4000] {
      let parts = budgeted.split(lineBytesMax: max)
      #expect(parts.reduce(0) { $0 + $1.budget! } == 1000)
      for part in parts { #expect(abs(part.budget! - 1000 * part.steps.count / 300) <= 1) }
    }
    // Each part knows the cost, and the size of the whole batch.
    var costed = steps
    costed.verifyCost = Self.costed.verifyCost
    for max in [64, 1000, 4000] {
      for part in costed.split(lineBytesMax: max) {
        #expect(part.verifyCost == costed.verifyCost && part.batch == 300)
      }
    }
  }

  @Test func costsHaveTheirRange() {
    func kind(_ members: String) -> ErrorKind? {
      error(Self.params("session.step", "\"steps\":[],\(members)"))?.kind
    }
    for cost in ["0", "1", "0.25", "[[1,1],[2,1]]", "[[1,0.5],[1048576,1e9]]"] {
      #expect(kind("\"verify_cost\":\(cost)") == nil, "\(cost)")
    }
    for cost in [
      "-0.1", "1.1", "true", "\"1\"", "{}", "[]", "[[1,1]]", "[1,2]", "[[1,1],[2]]",
      "[[1,1],[2,1,1]]", "[[2,1],[1,1]]", "[[1,2],[2,1]]", "[[0,1],[2,1]]", "[[1,0],[2,1]]",
      "[[1,1],[2.5,2]]", "[[1,1],[2,\"2\"]]", "[[1,1],[1048577,2]]", "[[1,1],[2,1e10]]",
      "[\((1...65).map { "[\($0),1]" }.joined(separator: ","))]",
    ] { #expect(kind("\"verify_cost\":\(cost)") == .invalidParams, "\(cost)") }
    for batch in ["0", "65537", "1.5"] {
      #expect(kind("\"batch\":\(batch)") == .invalidParams, "\(batch)")
    }
  }

  /// A mistake in one step or context does not affect the others.
  @Test func oneBadElementCostsNoOther() {
    let good = "{\"session\":\"s\",\"accept\":[1,2]}"
    let bad = [
      "7", "null", "{}", "{\"session\":\"s\"}", "{\"accept\":[1]}", "{\"session\":7,\"accept\":[]}",
      "{\"session\":\"s\",\"accept\":[3,-1]}",
      "{\"session\":\"s\",\"accept\":[3,4,18446744073709551616]}",
      "{\"session\":\"s\",\"accept\":[5],\"accept\":[6]}", "{\"session\":\"\",\"accept\":[]}",
      "{\"session\":\"s\",\"accept\":[7],\"tree\":1}", "{\"session\":\"s\",\"accept\":[],\"x\":0}",
      "{\"session\":\"s\",\"accept\":[1,1,1,1]}", "{\"session\":\"long-name\",\"accept\":[]}",
    ]
    let elements = bad.flatMap { [$0, good] }.joined(separator: ",")
    var limits = Limits()
    limits.acceptTokensMax = 3
    limits.sessionNameBytesMax = 4
    guard
      case .one(.success(let request)) = read(
        Self.params("session.step", "\"steps\":[\(elements)]"), limits),
      case .sessionStep(let call) = request.call
    else {
      Issue.record("the steps are not read")
      return
    }
    #expect(call.steps.count == 2 * bad.count)
    #expect(call.refusals.keys.sorted() == Array(stride(from: 0, to: 2 * bad.count, by: 2)))
    for (place, step) in call.steps.enumerated() {
      let isBad = place % 2 == 0
      #expect(step.session == (isBad ? "" : "s"))
      #expect(Array(call.tokens[step.accept]) == (isBad ? [] : [1, 2]))
      if let refusal = call.refusals[place] {
        #expect(refusal.message.contains("params.steps[\(place)]"), "\(refusal)")
      }
    }
    #expect(call.tokens.count == 2 * bad.count)
    let contexts = "\"corpus\":\"c\",\"contexts\":[[1,2],[],[3,-1],7,[1,1,1,1],[4]]"
    limits.contextTokensMax = 3
    guard case .one(.success(let drafts)) = read(Self.params("speculate", contexts), limits),
      case .speculate(let speculate) = drafts.call
    else {
      Issue.record("the contexts are not read")
      return
    }
    #expect(speculate.refusals.keys.sorted() == [1, 2, 3, 4])
    #expect(
      speculate.contexts.map { Array(speculate.tokens[$0]) } == [[1, 2], [], [], [], [], [4]])
    #expect(speculate.refusals[2]?.details["member"] == .text("params.contexts[2][1]"))
  }

  /// If a line is cut anywhere, the rest gives an error and no trap.
  @Test func everyPrefixOfAMessageIsAnError() {
    for call in Self.calls {
      let line = [UInt8](Self.line(Request(id: .number(1), call: call)).utf8)
      for length in 0..<line.count {
        let prefix = Array(line.prefix(length))
        guard case .one(.failure) = unsafe reader.read(prefix.span.bytes) else {
          Issue.record("\(String(decoding: prefix, as: UTF8.self))")
          return
        }
      }
    }
  }

  /// Tests every object of every method.
  @Test(arguments: calls) func unknownMembersAreNamed(call: Call) {
    let line = Self.line(Request(id: .number(1), call: call))
    // Behind the brace of `params`, and behind each one inside it.
    var search = line.range(of: "\"params\":")!.upperBound
    while let brace = line[search...].firstIndex(of: "{") {
      var changed = line
      let isEmpty = line[line.index(after: brace)] == "}"
      changed.insert(
        contentsOf: "\"surprise\":1" + (isEmpty ? "" : ","), at: changed.index(after: brace))
      let error = error(changed)
      #expect(
        error?.kind == .invalidParams && error?.message.contains("surprise") == true, "\(changed)")
      search = line.index(after: brace)
    }
  }

  // MARK: Mistakes are named

  static let wrong: [Wrong] = operationsWrong + ownWrong

  private static let ownWrong: [Wrong] = [
    ("", .parseError, "not JSON"), ("{", .parseError, "not JSON"),
    ("{\"jsonrpc\":\"2.0\"}x", .parseError, "not JSON"),
    ("{\"a\":\"\\ud800\"}", .parseError, "not JSON"),
    ("[01]", .parseError, "not JSON"), ("[1.]", .parseError, "not JSON"),
    ("1e400", .invalidRequest, "an object"), ("7", .invalidRequest, "an object"),
    ("[]", .invalidRequest, "empty"),
    (
      String(repeating: "[", count: 100) + String(repeating: "]", count: 100), .parseError, "deep"
    ),
    ("{\"id\":1,\"method\":\"health.live\"}", .invalidRequest, "jsonrpc"),
    ("{\"jsonrpc\":\"2.0\",\"id\":1}", .invalidRequest, "method"),
    ("{\"jsonrpc\":\"2.0\",\"id\":true,\"method\":\"health.live\"}", .invalidRequest, "id"),
    ("{\"jsonrpc\":\"2.0\",\"id\":{},\"method\":\"health.live\"}", .invalidRequest, "id"),
    ("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"nope\"}", .methodNotFound, "nope"),
    ("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":7}", .invalidRequest, "method"),
    (
      "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"health.live\",\"extra\":1}", .invalidRequest,
      "extra"
    ),
    (
      "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"health.live\",\"params\":[]}", .invalidParams,
      "object"
    ),
    (params("health.live", "\"x\":1"), .invalidParams, "params.x"),
    (params("speculate", "\"corpus\":\"c\""), .invalidParams, "params.context is missing"),
    (params("speculate", "\"context\":[1]"), .invalidParams, "params.corpus is missing"),
    (params("speculate", "\"corpus\":7,\"context\":[1]"), .invalidParams, "params.corpus is 7"),
    (params("speculate", "\"corpus\":\"\",\"context\":[1]"), .invalidParams, "not empty"),
    (params("speculate", "\"corpus\":\"c\",\"context\":[]"), .invalidParams, "at least one"),
    (params("speculate", "\"corpus\":\"c\",\"context\":{}"), .invalidParams, "token ids"),
    (
      params("speculate", "\"corpus\":\"c\",\"context\":[1],\"contexts\":[[1]]"), .invalidParams,
      "both"
    ),
    (
      params("speculate", "\"corpus\":\"c\",\"context\":[1],\"context\":[1]"), .invalidParams,
      "twice"
    ),
    (
      params("speculate", "\"corpus\":\"c\",\"contexts\":[[1],[2,-3]]"), .invalidParams,
      "params.contexts[1][1] is -3"
    ),
    (
      params("session.step", "\"steps\":[{\"session\":\"s\",\"accept\":[1,\"x\"]}]"),
      .invalidParams, "params.steps[0].accept[1] is a string"
    ),
    (
      params("session.step", "\"steps\":[{\"session\":\"s\"}]"), .invalidParams,
      "params.steps[0].accept is missing"
    ),
    (params("session.step", "\"steps\":[7]"), .invalidParams, "params.steps[0]"),
    (params("session.step", "\"steps\":7"), .invalidParams, "params.steps is 7"),
    (
      params("session.step", "\"steps\":[{\"session\":\"s\",\"accept\":[],\"tree\":1}]"),
      .invalidParams, "params.steps[0].tree is 1"
    ),
    (
      params("session.open", "\"corpus\":\"c\",\"prompt\":[1],\"share\":\"all\""), .invalidParams,
      "params.share"
    ),
    (
      params("session.open", "\"corpus\":\"c\",\"prompt\":[1],\"ttl_s\":0"), .invalidParams,
      "params.ttl_s is 0"
    ),
    (
      params("corpus.create", "\"corpus\":\"c\",\"depth\":1"), .invalidParams, "params.depth is 1"
    ),
    (params("corpus.drop", "\"corpus\":\"c\",\"confirm\":\"d\""), .invalidParams, "confirm"),
    (params("corpus.drop", "\"corpus\":\"c\""), .invalidParams, "params.confirm is missing"),
    (
      params("sequence.insert", "\"corpus\":\"c\",\"sequences\":[{\"tokens\":[]}]"),
      .invalidParams, "params.sequences[0].tokens"
    ),
    (
      params("sequence.insert", "\"corpus\":\"c\",\"sequences\":[{\"tokens\":[1],\"id\":7}]"),
      .invalidParams, "params.sequences[0].id is 7"
    ),
  ]

  static func params(_ method: String, _ members: String) -> String {
    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\(method)\",\"params\":{\(members)}}"
  }

  @Test(arguments: wrong.indices) func mistakesAreNamed(position: Int) {
    let (line, kind, says) = Self.wrong[position]
    guard let error = error(line) else {
      Issue.record("no error for \(line)")
      return
    }
    #expect(error.kind == kind, "\(line): \(error)")
    #expect(error.message.contains(says), "\(line): \(error)")
  }

  @Test func tokenIDsHaveTheirRange() {
    func context(_ token: String) -> String {
      Self.params("speculate", "\"corpus\":\"c\",\"context\":[1,\(token)]")
    }
    for token in ["0", "2147483646", "-0"] { #expect(error(context(token)) == nil, "\(token)") }
    for token in ["2147483647", "-1", "1.0", "1e3", "18446744073709551615", "null", "[1]"] {
      #expect(error(context(token))?.kind == .invalidParams, "\(token)")
    }
    // Beyond the range of 64 bits or a Double.
    for token in ["18446744073709551616", "-9223372036854775809", "1e400", "-1e999", "9e307"] {
      let error = error(context(token))
      #expect(error?.message.contains("params.context[1] is out of range") == true, "\(token)")
      #expect(error?.details["member"] == .text("params.context[1]"))
    }
  }

  @Test func settingsHaveTheirRangeAndDefaults() {
    func created(_ members: String) -> CorpusSettings? {
      let line = Self.params("corpus.create", "\"corpus\":\"c\"\(members)")
      guard case .one(.success(let request)) = read(line),
        case .corpusCreate(let call) = request.call
      else { return nil }
      return call.settings
    }
    #expect(created("") == CorpusSettings())
    #expect(created(",\"retention\":{}") == CorpusSettings())
    #expect(created(",\"end_ids\":[7,2,7]")?.endIDs == EndIDs([2, 7]))
    for bad in ["7", "[-1]", "[1.5]", "[0,1,2,3,4,5,6,7,8]"] {
      #expect(created(",\"end_ids\":\(bad)") == nil, "\(bad)")
    }
    #expect(created(",\"durability\":\"commit\"")?.durability == .commit)
    #expect(created(",\"durability\":\"interval\"")?.durability == .interval(millis: 100))
    for millis in [1, 2, 59_999, 60_000] {
      // In either order.
      #expect(
        created(",\"durability_ms\":\(millis),\"durability\":\"interval\"")?.durability
          == .interval(millis: millis))
    }
    for (name, range) in [
      ("tokens", Retention.tokensRange), ("sequences", Retention.sequencesRange),
      ("age_s", Retention.ageSecondsRange),
    ] {
      for bound in [range.lowerBound, range.lowerBound + 1, range.upperBound - 1, range.upperBound]
      {
        #expect(created(",\"retention\":{\"\(name)\":\(bound)}") != nil, "\(name) \(bound)")
      }
      for bound in [range.lowerBound - 1, range.upperBound + 1] {
        #expect(created(",\"retention\":{\"\(name)\":\(bound)}") == nil, "\(name) \(bound)")
      }
    }
  }

  @Test func draftOptionsHaveTheirRange() {
    func option(_ name: String, _ value: String) -> WireError? {
      error(
        Self.params("speculate", "\"corpus\":\"c\",\"context\":[1],\"\(name)\":\(value)"))
    }
    for (name, good, bad) in [
      ("max_tokens", ["0", "1024"], ["-1", "1.5", "\"1\""]),
      ("max_factor", ["0", "0.5", "1000000"], ["-0.1", "1000001", "null"]),
      ("max_offset", ["-3", "2.5"], ["1e300", "true"]),
      ("min_probability", ["0", "1", "0.1"], ["-0.01", "1.01"]),
      ("min_match", ["1", "127"], ["0", "128", "1.5"]),
      ("tree", ["true", "false"], ["0"]),
      ("policy", ["\"suffixdecoding\"", "\"estimate\""], ["\"other\"", "1"]),
    ] {
      for value in good { #expect(option(name, value) == nil, "\(name) \(value)") }
      for value in bad {
        #expect(option(name, value)?.kind == .invalidParams, "\(name) \(value)")
      }
    }
    #expect(option("max_tokens", "1025")?.kind == .limitExceeded)
  }

  // MARK: Fuzzing

  /// Valid lines with bytes changed, cut, doubled and moved: any result is right except a trap.
  @Test func mutatedLinesNeverTrap() {
    let count = Effort.count(1_000_000)
    var generator = SeededGenerator(seed: Effort.seed)
    func draw(_ bound: Int) -> Int { generator.draw(bound) }
    let seeds = Self.calls.map { [UInt8](Self.line(Request(id: .number(1), call: $0)).utf8) }
    let spice = [UInt8]("{}[]\",:\\0123456789eE+-.truefalsn\u{0}\u{7F}é".utf8)
    var accepted = 0
    for _ in 0..<count {
      var line = seeds[draw(seeds.count)]
      for _ in 0...draw(4) where !line.isEmpty {
        let place = draw(line.count)
        switch draw(5) {
        case 0: line[place] = UInt8(draw(256))
        case 1: line[place] = spice[draw(spice.count)]
        case 2: line.remove(at: place)
        case 3: line.insert(spice[draw(spice.count)], at: place)
        default:
          let end = min(line.count, place + draw(20))
          line.insert(contentsOf: line[place..<end], at: draw(line.count))
        }
      }
      switch unsafe reader.read(line.span.bytes) {
      case .one(.success(let request)):
        // A request that was understood can be written again, with the same meaning.
        accepted += 1
        // Refused parts of it are not written again.
        if !request.call.refusals.isEmpty { break }
        let again = Self.line(request)
        guard case .one(.success(let reread)) = read(again), reread.call == request.call else {
          Issue.record("\(again)")
          return
        }
      case .one(.failure(let bad)):
        if bad.error.message.isEmpty { Issue.record("an error without words") }
      case .batch: break
      }
    }
    print("fuzzed \(count) lines, \(accepted) of them valid")
    #expect(accepted > 0)
  }
}
