import Foundation
import RepriseClient
import Testing

/// `reprise top` over a real service, into a file and on a terminal. The tests wait for its output
/// without a time limit.
@Suite struct TopCommandTests {
  /// Takes two steps with tokens, five of them, on a history of ten.
  private func work(_ client: RepriseClient) async throws {
    try await client.createCorpus("demo")
    try await client.insert(
      [.init(tokens: [1, 2, 3, 4, 5]), .init(tokens: [1, 2, 3, 4, 5])], into: "demo")
    let session = try await client.openSession(corpus: "demo", prompt: [], name: "s")
    _ = try await session.step(accepting: [1, 2])
    _ = try await session.step(accepting: [3, 4, 9])
  }

  @Test func withoutATerminalItPrintsOnce() async throws {
    let service = try RepriseProcess()
    try service.start()
    let client = service.client()
    try await work(client)
    for arguments in [[], ["--once"], ["--interval", "60"]] {
      let result = try run(["top", "--socket", service.socket] + arguments)
      #expect(result.status == 0, "\(result.errors)")
      let lines = result.output.split(separator: "\n").map(String.init)
      #expect(lines[0].hasPrefix("reprise 0.1.0  \(service.socket)  up "))
      #expect(lines[0].hasSuffix("since its start"))
      #expect(lines[1].contains("sessions 1 "))
      #expect(!result.output.contains("\u{1B}"))
      let row = try #require(lines.first { $0.hasPrefix("demo") }).split(separator: " ")
      // Tokens a step, sessions, sequences, tokens.
      #expect(row.dropFirst(2).prefix(4) == ["2.50", "1", "2", "10"], "\(row)")
    }
    await client.close()
    #expect(service.end(SIGTERM) == 0)
    let gone = try run(["top", "--socket", service.socket])
    #expect(gone.status == 1 && gone.errors.contains("cannot be reached"))
  }

  @Test func mistakesAreToldAndTokensAreNeeded() throws {
    for (arguments, says) in [
      (["--store", "x"], "name a service"), ([], "name a service"),
      (["--socket", "s", "--interval", "0"], "expected 0.1 to 3600"),
    ] {
      let result = try run(["top"] + arguments)
      #expect(result.status == 64 && result.errors.contains(says), "\(result.errors)")
    }
    let service = try RepriseProcess()
    let access = service.directory + "/access.json"
    func token(_ name: String, _ corpora: String) throws -> String {
      try run(["token", "create", "--access", access, "--name", name, "--corpora", corpora]).output
        .trimmingCharacters(in: .whitespacesAndNewlines)
    }
    let (one, all) = (try token("one", "demo"), try token("all", "*"))
    try service.start(["--access", access])
    let top = ["top", "--socket", service.socket]
    for (token, needs) in [("", "server.authenticate"), (one, "a token for all corpora")] {
      let result = try run(top, environment: token.isEmpty ? [:] : ["REPRISE_TOKEN": token])
      #expect(result.status == 1 && result.errors.contains(needs), "\(result.errors)")
    }
    let shown = try run(top, environment: ["REPRISE_TOKEN": all])
    #expect(shown.status == 0 && shown.output.contains("no corpus yet"))
    #expect(service.end(SIGTERM) == 0)
  }

  private func watch(
    _ service: RepriseProcess, on screen: PseudoTerminal, _ environment: [String: String] = [:]
  ) throws -> Process {
    let process = Process()
    process.executableURL = repriseBinary
    process.arguments = ["top", "--socket", service.socket, "--interval", "0.1"]
    process.environment = ProcessInfo.processInfo.environment
      .merging(["TERM": "xterm", "NO_COLOR": ""]) { $1 }.merging(environment) { $1 }
    process.standardInput = screen.terminal
    process.standardOutput = screen.terminal
    process.standardError = FileHandle.nullDevice
    try process.run()
    return process
  }

  @Test func onATerminalItDrawsUntilAKeyIsPressed() async throws {
    let service = try RepriseProcess()
    try service.start()
    let client = service.client()
    try await work(client)
    let screen = try PseudoTerminal(width: 100, height: 30)
    let process = try watch(service, on: screen)
    // The alternate screen, and a second reading of the service.
    #expect(screen.wait(for: "since its start").contains("\u{1B}[?1049h"))
    screen.wait(for: "  in 0.")
    #expect(!screen.isEchoing)
    // As wide as the terminal, also after that changes.
    screen.wait(for: "segments")
    screen.resize(width: 40, height: 30)
    kill(process.processIdentifier, SIGWINCH)
    var narrow = ""
    while narrow.contains("segments") || !narrow.contains("corpus") {
      narrow = screen.wait(for: "\u{1B}[J")
    }
    screen.resize(width: 100, height: 30)
    // A service that is restarted continues to be watched.
    #expect(service.end(SIGKILL) != 0)
    screen.wait(for: "no reading now")
    try service.start()
    screen.wait(for: "since its start")
    screen.wait(for: "  in 0.")
    screen.type("xq")
    screen.wait(for: "\u{1B}[?1049l")
    process.waitUntilExit()
    #expect(process.terminationStatus == 0 && process.terminationReason == .exit)
    #expect(screen.isEchoing)
    #expect(screen.drawn.contains("\u{1B}[1mreprise"))
    await client.close()
    #expect(service.end(SIGTERM) == 0)
  }

  @Test(arguments: [SIGINT, SIGTERM])
  func aSignalLeavesTheTerminalAsItWas(signal: Int32) throws {
    let service = try RepriseProcess()
    try service.start()
    let screen = try PseudoTerminal(width: 80, height: 24)
    let process = try watch(service, on: screen, ["NO_COLOR": "1"])
    screen.wait(for: "no corpus yet")
    kill(process.processIdentifier, signal)
    screen.wait(for: "\u{1B}[?1049l")
    process.waitUntilExit()
    #expect(process.terminationStatus == 0 && process.terminationReason == .exit)
    #expect(screen.isEchoing)
    // Moves of the cursor, and no colours.
    #expect(!screen.drawn.contains(/\x{1B}\[[0-9;]*m/))
    #expect(service.end(SIGTERM) == 0)
  }
}
