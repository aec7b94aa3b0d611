import RepriseModel
import Testing

@testable import WireProtocol

/// The part of a name that errors repeat is bounded in bytes, whatever its characters are.
@Suite struct ExcerptTests {
  @Test(arguments: [
    // At the bound, beyond it, and with the bound inside a scalar.
    (String(repeating: "a", count: 64), 64), (String(repeating: "a", count: 65), 64),
    (String(repeating: "é", count: 40), 64), ("a" + String(repeating: "é", count: 40), 63),
    (String(repeating: "🙂", count: 40), 64), ("abc" + String(repeating: "🙂", count: 40), 63),
    // One character of 200 KB.
    ("a" + String(repeating: "\u{301}", count: 100_000), 63),
    (String(repeating: "\n", count: 100), 64), ("", 0),
  ])
  func excerptsHaveABound(_ name: String, bytes: Int) {
    #expect(name.excerpt.utf8.count == bytes)
    #expect(!name.excerpt.contains("\n") && !name.excerpt.contains("\u{fffd}"))
  }

  @Test func errorsRepeatExcerpts() throws {
    let name = "a" + String(repeating: "\u{301}", count: 10_000)
    let lines = [
      "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\(name)\"}",
      "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"health.live\",\"\(name)\":1}",
      "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"health.live\",\"params\":{\"\(name)\":1}}",
    ]
    for line in lines {
      let bytes = Array(line.utf8)
      let read = unsafe RequestReader(limits: Limits()).read(bytes.span.bytes)
      guard case .one(.failure(let bad)) = read else {
        Issue.record("no error for \(line.prefix(60))")
        continue
      }
      var writer = JSONWriter()
      bad.error.write(to: &writer)
      #expect(bad.error.message.contains(name.excerpt))
      #expect(writer.bytes.count < 500, "\(bad.error)")
    }
  }
}
