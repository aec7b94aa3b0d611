import CorpusStore
import Foundation
import Logging
import TreeService
import WireProtocol

// Requests to a live service in this process: valid JSON, of right and of wrong shapes. Each must be
// answered by one line, under its id, with a result or an error of a known kind; and the service must go
// on. The input's bytes choose what is written.

/// Writes JSON by what bytes say; when they have come to their end, the shortest that is valid.
private struct Writer {
  private var bytes: ArraySlice<UInt8>
  private(set) var text = ""

  init(_ bytes: [UInt8]) { self.bytes = bytes[...] }

  mutating func choose(_ count: Int) -> Int { Int(bytes.popFirst() ?? 0) % count }

  private static let methods = Method.allCases.map(\.name) + ["server.inf", "", "rpc.discover"]
  private static let members = [
    "corpus", "session", "tokens", "sequences", "steps", "accept", "prompt", "context", "contexts",
    "id", "ids", "parent", "share", "ttl_s", "record", "confirm", "from", "into", "name", "snapshot",
    "path", "replace", "depth", "tokenizer", "retention", "durability", "durability_ms", "max_tokens",
    "max_factor", "max_offset", "min_probability", "tree", "policy", "sequences", "age_s", "token",
  ]
  private static let strings = [
    "a", "b", "s1", "x", "live", "close", "never", "commit", "interval", "suffixdecoding", "",
    "../a", "é", "\\u0000", "a\\nb", String(repeating: "n", count: 200),
  ]
  private static let numbers = [
    "0", "1", "2", "3", "5", "8", "64", "-1", "1.5", "1e3", "0.1", "2147483647", "2147483646",
    "9223372036854775807", "1e308", "-0",
  ]

  mutating func request() {
    text = "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"\(Self.methods[choose(Self.methods.count)])\""
    if choose(16) > 0 {
      text += ",\"params\":"
      object(depth: 0)
    }
    text += "}"
  }

  private mutating func object(depth: Int) {
    text += "{"
    var isFirst = true
    while bytes.count > 0, choose(5) > 0 {
      if !isFirst { text += "," }
      isFirst = false
      text += "\"\(Self.members[choose(Self.members.count)])\":"
      value(depth: depth + 1)
    }
    text += "}"
  }

  private mutating func value(depth: Int) {
    switch choose(depth < 4 ? 8 : 5) {
    case 0, 1: text += "\"\(Self.strings[choose(Self.strings.count)])\""
    case 2, 3: text += Self.numbers[choose(Self.numbers.count)]
    case 4: text += ["true", "false", "null"][choose(3)]
    case 5, 6:
      text += "["
      var isFirst = true
      while bytes.count > 0, choose(6) > 0 {
        if !isFirst { text += "," }
        isFirst = false
        value(depth: depth + 1)
      }
      text += "]"
    default: object(depth: depth)
    }
  }
}

/// The service and a connection to it.
private final class Fixture: @unchecked Sendable {
  // @unchecked Sendable: used by the fuzzer's one thread.
  private let descriptor: Int32
  private let service: TreeService
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
    nonisolated(unsafe) var started: TreeService?
    Task.detached { [options] in
      started = try! await TreeService.start(store, options, logger: logger)
      ready.signal()
    }
    ready.wait()
    service = started!
    descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: (directory + "/s").utf8) }
    let connected = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
      }
    }
    precondition(connected == 0)
  }

  func ask(_ line: String) -> String {
    let bytes = [UInt8]((line + "\n").utf8)
    precondition(send(descriptor, bytes, bytes.count, 0) == bytes.count)
    while true {
      if let end = received.firstIndex(of: 10) {
        defer { received.removeSubrange(...end) }
        return String(decoding: received[..<end], as: UTF8.self)
      }
      var buffer = [UInt8](repeating: 0, count: 1 << 16)
      let count = recv(descriptor, &buffer, buffer.count, 0)
      precondition(count > 0, "the service closed the connection")
      received += buffer.prefix(count)
    }
  }
}

private let fixture = Fixture()

@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ data: UnsafePointer<UInt8>, _ size: Int) -> CInt {
  var writer = Writer([UInt8](UnsafeBufferPointer(start: data, count: size)))
  writer.request()
  let answer = fixture.ask(writer.text)
  let object = try? JSONSerialization.jsonObject(with: Data(answer.utf8)) as? [String: Any]
  guard let object, object["jsonrpc"] as? String == "2.0", object["id"] as? Int == 7,
    (object["result"] == nil) != (object["error"] == nil)
  else { fatalError("\(writer.text) was answered by \(answer)") }
  if let error = object["error"] as? [String: Any] {
    let data = error["data"] as? [String: Any]
    let kind = (data?["kind"] as? String).flatMap(WireError.Kind.init)
    guard let kind, kind.code == error["code"] as? Int, kind != .internalError else {
      fatalError("\(writer.text) was answered by \(answer)")
    }
  }
  return 0
}
