import Foundation
import RepriseModel
import TestSupport
import WireProtocol

/// Sends one byte at a time, does not end its line, or does not read its answers.
final class SlowClient: Behaviour {
  let base: WorkerBase
  init(_ site: Site, _ number: Int) { base = WorkerBase(site, .slow, number) }

  var pauseMillis: ClosedRange<Int> { 100...1000 }

  func act() throws {
    switch roll(0...9) {
    case 0: try leaveLineOpen()
    case 1..<3: try readNothing()
    default: try sendByBytes()
    }
  }

  private func sendByBytes() throws {
    let connection = try site.connect(.reader, tally)
    let context = Array(site.fixed.sequences[number % site.fixed.sequences.count].prefix(3))
    var writer = JSONWriter()
    Request(id: .number(7), call: .speculate(Speculate(corpus: "fixed", context: context)))
      .write(to: &writer)
    for byte in writer.bytes {
      try connection.send([byte])
      usleep(500)
    }
    let answer = try json(connection.receive())
    let draft = answer["result"] as? [String: Any]
    if answer["id"] as? Int != 7 || (draft?["tokens"] as? [Int])?.isEmpty != false {
      throw ToolError("sent byte by byte, answered \(answer)")
    }
    tally.note { $0.requests[Method.speculate.rawValue] += 1 }
  }

  private func leaveLineOpen() throws {
    let connection = try site.connect(.reader, tally)
    try connection.send(Array(#"{"jsonrpc":"2.0","id":1,"#.utf8))
    // The error is sent, and the connection ends.
    let answer = try json(connection.receive())
    if kind(answer) != "limit_exceeded" { throw ToolError("an open line was answered \(answer)") }
    if !connection.ends(withinSeconds: Bounds.patienceSeconds) {
      throw ToolError("a connection with an open line did not end")
    }
    tally.note {
      $0.errorsExpected["limit_exceeded", default: 0] += 1
      $0.connectionsCut += 1
    }
  }

  private func readNothing() throws {
    let connection = try site.connect(.reader, tally)
    let context = site.fixed.sequences[0]
    var writer = JSONWriter()
    for id in 0..<64 {
      let call = Call.speculate(
        Speculate(
          corpus: "fixed", contexts: Array(repeating: context, count: 16),
          options: DraftOptions(maxFactor: 4, tree: true)))
      Request(id: .number(Int64(id)), call: call).write(to: &writer)
    }
    let lines = writer.bytes
    // Until the service stops reading, and then ends the connection.
    let start = nanoseconds()
    while connection.trySending(lines, secondsMax: 4 * Double(Bounds.patienceSeconds)) {
      if site.journal.isStopping { return }
      if nanoseconds() - start > 4_000_000_000 * Bounds.patienceSeconds {
        throw ToolError("a client that does not read its answers is answered without end")
      }
    }
    if nanoseconds() - start > 4_000_000_000 * Bounds.patienceSeconds {
      throw ToolError("a client that does not read its answers was not cut off")
    }
    tally.note { $0.connectionsCut += 1 }
  }
}

/// Sends lines that are not requests, or requests that it may not make; each must be refused, and
/// no other client may be affected.
final class BrokenClient: Behaviour {
  let base: WorkerBase
  private var connection: Connection!

  init(_ site: Site, _ number: Int) { base = WorkerBase(site, .broken, number) }

  var pauseMillis: ClosedRange<Int> { 20...100 }
  func prepare() throws { connection = try site.connect(.reader, tally) }
  func finish() throws { connection = nil }

  /// Lines, and the kind of error that each is answered with.
  private static let lines: [(String, String)] = [
    ("{", "parse_error"), ("\u{0}\u{1}", "parse_error"),
    (#"{"jsonrpc":"2.0","id":1"#, "parse_error"),
    (String(repeating: "[", count: 5000), "parse_error"),
    ("17", "invalid_request"), ("[]", "invalid_request"), ("{}", "invalid_request"),
    (#"{"jsonrpc":"1.0","id":1,"method":"speculate"}"#, "invalid_request"),
    (#"{"jsonrpc":"2.0","id":{},"method":"speculate"}"#, "invalid_request"),
    (#"{"jsonrpc":"2.0","id":1,"method":"no.such"}"#, "method_not_found"),
    (#"{"jsonrpc":"2.0","id":1,"method":"speculate","params":[]}"#, "invalid_params"),
    (#"{"jsonrpc":"2.0","id":1,"method":"speculate","params":{}}"#, "invalid_params"),
    (
      #"{"jsonrpc":"2.0","id":1,"method":"speculate","params":{"corpus":"fixed","context":[-1]}}"#,
      "invalid_params"
    ),
    (
      #"{"jsonrpc":"2.0","id":1,"method":"speculate","params":{"corpus":"fixed","context":[1],"x":1}}"#,
      "invalid_params"
    ),
    (
      #"{"jsonrpc":"2.0","id":1,"method":"speculate","params":{"corpus":"fixed","context":[1],"max_tokens":1000000}}"#,
      "limit_exceeded"
    ),
    (
      #"{"jsonrpc":"2.0","id":1,"method":"speculate","params":{"corpus":"../x","context":[1]}}"#,
      "corpus_not_found"
    ),
    (
      #"{"jsonrpc":"2.0","id":1,"method":"speculate","params":{"corpus":"none","context":[1]}}"#,
      "corpus_not_found"
    ),
    (
      #"{"jsonrpc":"2.0","id":1,"method":"session.close","params":{"session":"none"}}"#,
      "session_not_found"
    ),
    (
      #"{"jsonrpc":"2.0","id":1,"method":"server.authenticate","params":{"token":"wrong"}}"#,
      "unauthorized"
    ),
  ]

  func act() throws {
    switch roll(0...19) {
    case 0: try sendHugeLine()
    case 1: try callWithoutToken()
    case 2: try presentWrongToken()
    case 3: try sendBatch()
    case 4: try sendNoise()
    default:
      let (line, expected) = Self.lines.randomElement(using: &random)!
      try connection.send(Array((line + "\n").utf8))
      try expect(expected, of: line, connection)
    }
  }

  private func expect(_ expected: String, of line: String, _ connection: Connection) throws {
    let answer = try json(connection.receive())
    if kind(answer) != expected {
      throw ToolError("\(line.prefix(200)) was answered \(answer), expected \(expected)")
    }
    tally.note { $0.errorsExpected[expected, default: 0] += 1 }
  }

  private func sendHugeLine() throws {
    let connection = try site.connect(.reader, tally)
    // The rest may already be refused when it is sent.
    _ = connection.trySending([UInt8](repeating: UInt8(ascii: "1"), count: 5 << 20))
    if let line = connection.tryReceiving(), kind(try json(line)) != "limit_exceeded" {
      throw ToolError("a line without an end was answered \(String(decoding: line, as: UTF8.self))")
    }
    if !connection.ends(withinSeconds: Bounds.patienceSeconds) {
      throw ToolError("a connection with a line that is too long did not end")
    }
    tally.note {
      $0.errorsExpected["limit_exceeded", default: 0] += 1
      $0.connectionsCut += 1
    }
  }

  private func callWithoutToken() throws {
    let connection = try Connection(site, token: nil, tally)
    try connection.refusal(of: .corpusList, .unauthorized)
  }

  private func presentWrongToken() throws {
    let connection = try Connection(site, token: nil, tally)
    try connection.refusal(
      of: .serverAuthenticate(ServerAuthenticate(token: "rp_\(roll(0...Int.max))")), .unauthorized)
    try connection.refusal(of: .corpusList, .unauthorized)
  }

  /// A batch of good and bad requests, including a notification.
  private func sendBatch() throws {
    try connection.send(
      Array(
        (#"[{"jsonrpc":"2.0","id":1,"method":"health.live"},{"jsonrpc":"2.0","method":"health.live"},"#
          + #"{"jsonrpc":"2.0","id":"two","method":"no.such"},7]"# + "\n").utf8))
    let line = try connection.receive()
    guard let answers = try JSONSerialization.jsonObject(with: Data(line)) as? [[String: Any]],
      answers.count == 3, answers[0]["id"] as? Int == 1, answers[0]["result"] != nil,
      answers[1]["id"] as? String == "two", kind(answers[1]) == "method_not_found",
      kind(answers[2]) == "invalid_request"
    else { throw ToolError("a batch was answered \(String(decoding: line, as: UTF8.self))") }
    for kind in ["method_not_found", "invalid_request"] {
      tally.note { $0.errorsExpected[kind, default: 0] += 1 }
    }
  }

  /// Random bytes that are not JSON.
  private func sendNoise() throws {
    var noise = [UInt8(ascii: "!")]
    for _ in 0..<roll(0...300) { noise.append(UInt8.random(in: 0...255, using: &random)) }
    noise.removeAll { $0 == UInt8(ascii: "\n") }
    try connection.send(noise + [UInt8(ascii: "\n")])
    try expect("parse_error", of: "noise", connection)
  }
}

/// Opens many connections at once and abandons them during requests.
final class Storm: Behaviour {
  let base: WorkerBase
  private var opened = 0

  init(_ site: Site, _ number: Int) { base = WorkerBase(site, .storms, number) }

  var pauseMillis: ClosedRange<Int> { 300...1500 }

  /// Presents its token when it opens a connection, because the service waits only some seconds for
  /// it.
  func act() throws {
    let ledger = site.shared.randomElement(using: &random)!
    var connections: [(connection: Connection, tenant: Tenant?)] = []
    for _ in 0..<roll(10...40) {
      let tenant: Tenant? = [nil, nil, .reader, .sharers, .sharers].randomElement(using: &random)!
      let token = tenant.map { site.tokens[$0]! }
      connections.append((try Connection(site, token: token, tally), tenant))
    }
    for (connection, tenant) in connections {
      opened += 1
      switch tenant {
      case .sharers: try leaveSession(connection, ledger)
      case .reader: break
      // The service may have ended the connection by now.
      default:
        if chance(500) { _ = connection.trySending(Array(#"{"jsonrpc":"2.0","id":1,"#.utf8)) }
      }
    }
  }

  /// Sends a step of a session, or an insert, and does not wait for the answer. Sessions without a
  /// name end with the connection, others with their lease.
  private func leaveSession(_ connection: Connection, _ ledger: SharedLedger) throws {
    let tokens = ledger.plan.language.text(count: roll(1...200), using: &random)
    ledger.mayHold(tokens)
    var writer = JSONWriter()
    if chance(300) {
      Request(
        id: .number(1),
        call: .sequenceInsert(
          SequenceInsert(corpus: ledger.name, sequences: [.init(tokens: tokens)]))
      ).write(to: &writer)
    } else {
      let name = chance(300) ? "storm-\(number)-\(opened)" : nil
      let session: SessionOpened = try connection.call(
        .sessionOpen(
          SessionOpen(
            corpus: ledger.name, session: name, prompt: [], share: .live,
            ttlSeconds: name == nil ? nil : 3)))
      var step = SessionStep()
      step.append(session: session.session, accept: tokens)
      Request(id: .number(1), call: .sessionStep(step)).write(to: &writer)
    }
    // Possibly not the whole line.
    let line = writer.bytes
    try connection.send(chance(300) ? Array(line.prefix(roll(0...line.count - 1))) : line)
  }
}

private func json(_ line: [UInt8]) throws -> [String: Any] {
  guard let object = try? JSONSerialization.jsonObject(with: Data(line)) as? [String: Any] else {
    throw ToolError("no JSON: \(String(decoding: line.prefix(300), as: UTF8.self))")
  }
  return object
}

private func kind(_ answer: [String: Any]) -> String? {
  let error = answer["error"] as? [String: Any]
  return (error?["data"] as? [String: Any])?["kind"] as? String
}
