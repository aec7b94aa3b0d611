import Foundation
import RepriseClient
import Testing
import WireProtocol

/// The log has one line an event, whatever names clients choose, and no confidential text.
@Suite struct LogTests {
  @Test func hostileNamesBreakNoLines() async throws {
    let service = try RepriseProcess()
    let access = service.directory + "/access.json"
    let token = try run([
      "token", "create", "--access", access, "--name", "a\nb \"c\"", "--rights",
      "draft,insert,admin",
    ])
    .output.trimmingCharacters(in: .whitespacesAndNewlines)
    try service.start(["--access", access, "--log-level", "trace"])
    let client = service.client(token: token)
    try await client.createCorpus("c")
    let hostile =
      "x\n2026-01-01T00:00:00+0000 notice reprise: [reprise] \u{1B}[2J\u{85}\u{2028}forged=\"1\" \\"
    for name in [hostile, "plain name"] {
      _ = try? await client.verifySnapshot(.file(path: name))
      _ = try? await client.deleteSnapshot(name)
      _ = try? await client.createSnapshot(ofCorpus: "c", named: name)
      _ = try? await client.restore(.named(name), into: "d")
      _ = try? await client.forget(ids: [name], inCorpus: "c")
      let params = try JSONEncoder().encode(["corpus": name])
      _ = try run(
        [
          "call", "corpus.create", String(decoding: params, as: UTF8.self), "--socket",
          service.socket,
        ], environment: ["REPRISE_TOKEN": token])
    }
    // The log contains no text of sequences, and no secret that grants access.
    let (marked, guess) = (Int32(1_234_567_891), "rp_a-guess-that-is-wrong")
    try await client.insert([.init(id: "secret-id", tokens: [marked, marked])], into: "c")
    let session = try await client.openSession(corpus: "c", prompt: [marked])
    _ = try await session.step(accepting: [marked])
    _ = try? await client.speculate([marked, -1], corpus: "c")
    try await session.close()
    let stranger = service.client(token: guess)
    _ = try? await stranger.corpora()
    await stranger.close()
    await client.close()
    #expect(service.end(SIGTERM) == 0)

    let lines = service.logged.split(separator: "\n", omittingEmptySubsequences: false).dropLast()
    #expect(lines.count > 15)
    for line in lines {
      #expect(
        line.contains(
          /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4} [a-z]+ reprise:( [a-z_]+=("([^"\\]|\\.)*"|[^" ]+))* \[\w+\] [^=]+$/
        ),
        "\(line)")
      let controls = line.unicodeScalars.filter { $0.value < 32 || (127..<160).contains($0.value) }
      #expect(controls.isEmpty && !line.contains("\u{2028}"), "\(line)")
    }
    // The name is logged, as text.
    #expect(lines.contains { $0.contains(#"snapshot="x?2026-"#) })
    for secret in ["\(marked)", token, guess, "secret-id"] {
      #expect(!service.logged.contains(secret), "\(secret)")
    }
  }
}
