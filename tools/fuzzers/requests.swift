import CorpusStore
import Foundation
import Logging
import RepriseModel
import RepriseServer
import UnixSocket
import WireProtocol

// Requests to a live service in this process: valid JSON, of right and of wrong shapes. Each must be
// answered by one line, under its id, with a result or an error of a known kind; and the service must go
// on. The input's bytes choose what is written: mostly what a method takes, so that calls get far, and
// now and then something else.

/// The kind of value that a member has.
private indirect enum Shape: Sendable {
  case name, token, number, bool, text, anything
  case one([String])
  case list(Shape)
  case object([(String, Shape)])
}

private let tokens = Shape.list(.token)
private let draftOptions: [(String, Shape)] = [
  ("max_tokens", .number), ("max_factor", .number), ("max_offset", .number),
  ("min_probability", .number), ("min_match", .number), ("tree", .bool),
  ("policy", .one(["suffixdecoding", "estimate", "other"])),
  ("vocabulary", .number),
]
private let snapshot: [(String, Shape)] = [("snapshot", .name), ("path", .text)]

private func members(of method: Method) -> [(String, Shape)] {
  switch method {
  case .serverInfo, .serverMetrics, .healthLive, .healthReady, .corpusList: []
  case .serverAuthenticate: [("token", .text)]
  case .clientReport: [("engine", .text), ("steps", .number), ("late", .number)]
  case .corpusCreate:
    [
      ("corpus", .name), ("tokenizer", .text), ("depth", .number),
      ("retention", .object([("tokens", .number), ("sequences", .number), ("age_s", .number)])),
      ("durability", .one(["commit", "interval", "never"])), ("durability_ms", .number),
      ("vocabulary", .number), ("lead_in", .number), ("end_ids", tokens),
    ]
  case .corpusStats: [("corpus", .name)]
  case .corpusDrop: [("corpus", .name), ("confirm", .name)]
  case .corpusMerge: [("from", .name), ("into", .name)]
  case .sequenceInsert:
    [
      ("corpus", .name), ("tokenizer", .text),
      ("sequences", .list(.object([("id", .name), ("prompt", tokens), ("tokens", tokens)]))),
    ]
  case .sequenceForget: [("corpus", .name), ("ids", .list(.name))]
  case .speculate:
    [("corpus", .name), ("context", tokens), ("contexts", .list(tokens))] + draftOptions
  case .sessionOpen:
    [
      ("corpus", .name), ("session", .name), ("prompt", tokens), ("parent", .name),
      ("share", .one(["live", "close", "never", "always"])), ("ttl_s", .number),
      ("vocabulary", .number),
    ]
  case .sessionStep:
    [
      ("steps", .list(.object([("session", .name), ("accept", tokens)] + draftOptions))),
      ("budget", .number), ("verify_cost", .anything), ("batch", .number),
    ]
  case .sessionClose: [("session", .name), ("record", .bool)]
  case .snapshotCreate: [("corpus", .name), ("name", .name)]
  case .snapshotList: [("corpus", .name)]
  case .snapshotVerify: snapshot
  case .snapshotDelete: [("snapshot", .name)]
  case .snapshotRestore: snapshot + [("corpus", .name), ("replace", .bool)]
  }
}

/// Writes JSON by what bytes say; when they have come to their end, the shortest that is valid.
private struct Writer {
  private var bytes: ArraySlice<UInt8>
  private(set) var text = ""

  init(_ bytes: [UInt8]) { self.bytes = bytes[...] }

  var isAtEnd: Bool { bytes.isEmpty }

  private mutating func choose(_ count: Int) -> Int { Int(bytes.popFirst() ?? 0) % count }
  private mutating func pick(_ texts: [String]) -> String { texts[choose(texts.count)] }

  private static let names = ["a", "b", "s1", "x"]
  private static let texts = [
    "", "a", "../a", "é", "\\u0000", "a\\nb", "/dev/null", String(repeating: "n", count: 200),
    String(repeating: "e\u{301}", count: 100),
  ]
  private static let numbers = [
    "0", "1", "2", "3", "5", "8", "64", "-1", "1.5", "1e3", "0.1", "2147483647", "2147483646",
    "9223372036854775807", "1e308", "-0",
  ]

  mutating func request(id: Int) {
    let method = Method.allCases[choose(Method.allCases.count)]
    let isWild = choose(16) == 15
    let name = isWild ? pick(["server.inf", "", "rpc.discover"]) : method.name
    text = "{\"jsonrpc\":\"2.0\",\"id\":\(id),\"method\":\"\(name)\",\"params\":"
    value(.object(members(of: method)), depth: 0)
    text += "}"
  }

  private mutating func value(_ shape: Shape, depth: Int) {
    // Now and then not what is expected.
    var shape = shape
    if choose(16) == 15 { shape = .anything }
    switch shape {
    case .name: text += "\"\(pick(choose(8) == 7 ? Self.texts : Self.names))\""
    case .token: text += choose(16) == 15 ? pick(Self.numbers) : "\(choose(6))"
    case .number: text += pick(Self.numbers)
    case .bool: text += pick(["true", "false"])
    case .text: text += "\"\(pick(Self.texts))\""
    case .one(let texts): text += "\"\(pick(texts))\""
    case .list(let element):
      text += "["
      var isFirst = true
      while !bytes.isEmpty, choose(6) > 0 {
        if !isFirst { text += "," }
        isFirst = false
        value(element, depth: depth + 1)
      }
      text += "]"
    case .object(let members):
      text += "{"
      var isFirst = true
      for (name, shape) in members where choose(4) > 0 {
        if !isFirst { text += "," }
        isFirst = false
        text += "\"\(choose(64) == 63 ? "color" : name)\":"
        value(shape, depth: depth + 1)
      }
      text += "}"
    case .anything:
      let simple: [Shape] = [.name, .token, .number, .bool, .text, .one(["null"])]
      let nested: [Shape] = [.list(.anything), .object([("a", .anything), ("tokens", .anything)])]
      let all = depth < 4 ? simple + nested : simple
      value(all[choose(all.count)], depth: depth + 1)
    }
  }
}

/// The service and a connection to it.
private final class Fixture: @unchecked Sendable {
  // @unchecked Sendable: used by the fuzzer's one thread.
  private let descriptor: Int32
  private let service: RepriseServer
  private let store: Store
  private var received: [UInt8] = []

  init() {
    let directory = NSTemporaryDirectory() + "reprise-fuzz-\(getpid())"
    try? FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    store = try! Store(path: directory + "/store")
    var options = ServiceOptions(.unixSocket(path: directory + "/s"))
    options.limits.sessionsMax = 64
    options.limits.corporaMax = 8
    options.limits.storeBytesMax = 64 << 20
    let logger = Logger(label: "fuzz") { _ in SwiftLogNoOpLogHandler() }
    let (store, ready) = (store, DispatchSemaphore(value: 0))
    nonisolated(unsafe) var started: RepriseServer?
    Task.detached { [options] in
      started = try! await RepriseServer.start(store, options, logger: logger)
      ready.signal()
    }
    ready.wait()
    service = started!
    descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
    precondition(UnixAddress(path: directory + "/s")?.connect(descriptor) == 0)
  }

  func ask(_ line: String) -> String {
    let bytes = [UInt8]((line + "\n").utf8)
    // A line is shorter than what the kernel takes at once.
    let sent = repeated { send(descriptor, bytes, bytes.count, 0) }
    if sent != bytes.count { fatalError("\(sent) bytes were taken of \(line)") }
    while true {
      if let end = received.firstIndex(of: 10) {
        defer { received.removeSubrange(...end) }
        return String(decoding: received[..<end], as: UTF8.self)
      }
      var buffer = [UInt8](repeating: 0, count: 1 << 16)
      let count = repeated { recv(descriptor, &buffer, buffer.count, 0) }
      if count <= 0 { fatalError("the connection ended, errno \(errno), at \(line)") }
      received += buffer.prefix(count)
    }
  }
}

/// Again where libFuzzer's clock interrupts it.
private func repeated(_ call: () -> Int) -> Int {
  while true {
    let result = call()
    if result >= 0 || errno != EINTR { return result }
  }
}

private let fixture = Fixture()

@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ data: UnsafePointer<UInt8>, _ size: Int) -> CInt {
  var writer = Writer([UInt8](UnsafeBufferPointer(start: data, count: size)))
  // Several, so that one may be about what another has made.
  var id = 0
  repeat {
    id += 1
    writer.request(id: id)
    check(fixture.ask(writer.text), id, writer.text)
  } while !writer.isAtEnd && id < 16
  return 0
}

private func check(_ answer: String, _ id: Int, _ request: String) {
  let object = try? JSONSerialization.jsonObject(with: Data(answer.utf8)) as? [String: Any]
  guard let object, object["jsonrpc"] as? String == "2.0", object["id"] as? Int == id,
    (object["result"] == nil) != (object["error"] == nil)
  else { fatalError("\(request) was answered by \(answer)") }
  guard let error = object["error"] as? [String: Any] else { return }
  let data = error["data"] as? [String: Any]
  let kind = (data?["kind"] as? String).flatMap(ErrorKind.init)
  guard let kind, kind.code == error["code"] as? Int, kind != .internalError else {
    fatalError("\(request) was answered by \(answer)")
  }
}
