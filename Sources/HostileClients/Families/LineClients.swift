import RepriseModel
import TestSupport

/// Clients whose lines are not requests, or should not be sent by any client.
enum LineClients {
  static let all: [HostileClient] = [
    HostileClient("an HTTP request", .answered("parse_error")) {
      try $0.ask("GET / HTTP/1.1\r\nHost: reprise\r\nConnection: keep-alive\r\n\r")
    },
    HostileClient("a TLS handshake", .exceedsAndCloses("line_seconds")) { target in
      let connection = try target.connect()
      // The beginning of a ClientHello; its sender waits for an answer.
      connection.send(
        "\u{16}\u{3}\u{1}\u{0}z\u{1}\u{0}\u{0}v\u{3}\u{3}" + list("r", 32, separator: "."))
      return try connection.untilClosed()
    },
    HostileClient("64 KiB of random bytes", .answered("parse_error")) { target in
      var generator = SeededGenerator(seed: 1)
      let bytes = (0..<(1 << 16)).map { _ in UInt8.random(in: 0...255, using: &generator) }
      return try target.connect().ask(bytes)
    },
    HostileClient("bytes that are no UTF-8", .answered("parse_error")) { target in
      let line = request("health.live", id: "\"?\"")
      return try target.connect().ask(line.utf8.map { $0 == UInt8(ascii: "?") ? 0xff : $0 })
    },
    HostileClient("zero bytes", .answered("parse_error")) {
      try $0.ask(String(repeating: "\0", count: 1000))
    },
    HostileClient("1,000 empty lines", .answered("parse_error")) {
      try $0.ask(String(repeating: "\n", count: 1000))
    },
    HostileClient("JSON that is cut off", .answered("parse_error")) {
      try $0.ask(String(request("health.live").dropLast(3)))
    },
    HostileClient("two requests on a line", .answered("parse_error")) {
      try $0.ask(request("health.live") + " " + request("health.live"))
    },
    HostileClient("nesting of 10,000", .answered("parse_error")) {
      try $0.ask(
        String(repeating: "[", count: 10_000) + String(repeating: "]", count: 10_000))
    },
    HostileClient("more than line_bytes without an end", .exceedsAndCloses("line_bytes")) {
      target in
      let connection = try target.connect()
      let line = [UInt8](repeating: UInt8(ascii: "a"), count: target.limits.lineBytesMax + 1)
      return try connection.exchange(line).outcome
    },
    HostileClient("one byte more than line_bytes, with an end", .exceeds("line_bytes")) { target in
      let connection = try target.connect()
      let line = [UInt8](repeating: UInt8(ascii: "a"), count: target.limits.lineBytesMax)
      return try connection.ask(line + [UInt8(ascii: "a")])
    },
    HostileClient("line_bytes of blanks and a request", .served) { target in
      let request = Array(request("health.live").utf8)
      let blanks = target.limits.lineBytesMax - request.count
      return try target.connect().ask(
        [UInt8](repeating: UInt8(ascii: " "), count: blanks) + request)
    },
    HostileClient("line_bytes of opened brackets", .answered("parse_error")) { target in
      try target.connect().ask(
        [UInt8](repeating: UInt8(ascii: "["), count: target.limits.lineBytesMax))
    },
    HostileClient("line_bytes of an array of zeros", .exceeds("batch_requests")) { target in
      try target.ask("[" + list("0", target.limits.lineBytesMax / 2 - 1) + "]")
    },
    HostileClient("lines of 64 KB, one after the other", .answered("invalid_params")) {
      try $0.ask(
        list(request("health.live", "{\"a\":[\(list("7", 32_000))]}"), 50, separator: "\n"))
    },
    HostileClient("a number of 100,000 digits", .answered("invalid_request")) {
      try $0.ask(request("health.live", id: String(repeating: "9", count: 100_000)))
    },
    HostileClient("a method of 1 MB", .answered("method_not_found")) {
      try $0.ask(request(String(repeating: "m", count: 1_000_000)))
    },
    HostileClient("a method of one letter and 100,000 accents", .answered("method_not_found")) {
      try $0.ask(request("m" + String(repeating: "\u{301}", count: 100_000)))
    },
    HostileClient("a method of line ends", .answered("method_not_found")) {
      try $0.ask(request(String(repeating: "\\n", count: 1000)))
    },
    HostileClient("a member that is there twice", .answered("invalid_params")) {
      try $0.call("corpus.stats", "{\"corpus\":\"a\",\"corpus\":\"b\"}")
    },
    HostileClient("100,000 unknown members", .answered("invalid_params")) {
      try $0.call("health.live", "{\(list("\"m\":0", 100_000))}")
    },
    HostileClient("an unknown member of 1 MB", .answered("invalid_params")) {
      try $0.call("health.live", "{\"\(String(repeating: "m", count: 1_000_000))\":0}")
    },
    HostileClient("an unknown member beside the method", .answered("invalid_request")) {
      try $0.ask("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"health.live\",\"root\":true}")
    },
    HostileClient("an id that is an object", .answered("invalid_request")) {
      try $0.ask(request("health.live", id: "{\"id\":1}"))
    },
    HostileClient("an id of 2 MB", .answered("invalid_request")) {
      try $0.ask(request("health.live", id: "\"\(String(repeating: "i", count: 2_000_000))\""))
    },
    HostileClient("another version of JSON-RPC", .answered("invalid_request")) {
      try $0.ask("{\"jsonrpc\":\"1.0\",\"id\":1,\"method\":\"health.live\"}")
    },
    HostileClient("params that are an array", .answered("invalid_params")) {
      try $0.call("corpus.stats", "[\"prey\"]")
    },
    HostileClient("an empty array", .answered("invalid_request")) { try $0.ask("[]") },
    HostileClient("an array of more than batch_requests", .exceeds("batch_requests")) { target in
      try target.ask("[\(list(request("health.live"), target.limits.batchRequestsMax + 1))]")
    },
    HostileClient("arrays in an array", .answered("invalid_request")) { target in
      try target.ask(
        "[\(list("[\(request("health.live"))]", target.limits.batchRequestsMax))]")
    },
    HostileClient("an array of 1,024 wrong requests", .answered("invalid_params")) { target in
      try target.ask(
        "[\(list(request("corpus.stats", "{\"c\":1}"), target.limits.batchRequestsMax))]")
    },
    HostileClient("100,000 requests without an id", .gone) {
      try $0.ask(
        list("{\"jsonrpc\":\"2.0\",\"method\":\"health.live\"}", 100_000, separator: "\n"),
        answers: 0)
    },
  ]
}
