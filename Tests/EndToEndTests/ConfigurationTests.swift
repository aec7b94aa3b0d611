import Foundation
import Testing

/// Settings from flags, environment and file, and access tokens from the command line to an answer.
@Suite struct ConfigurationTests {
  private final class Directory {
    let path = NSTemporaryDirectory() + "reprise-\(UUID().uuidString.prefix(8))"

    init() throws {
      try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func write(_ text: String, to name: String) throws -> String {
      try Data(text.utf8).write(to: URL(fileURLWithPath: "\(path)/\(name)"))
      return "\(path)/\(name)"
    }
  }

  private static let needed = ["serve", "--store", "x", "--socket", "y", "--print-config"]

  @Test func aFlagComesBeforeTheEnvironmentAndThatBeforeTheFile() throws {
    let directory = try Directory()
    let file = try directory.write(
      #"{"threads": 3, "limits": {"sessions": 30, "steps": 31}, "session_seconds": 32}"#,
      to: "c.json")
    let result = try run(
      Self.needed + ["--config", file, "--limit", "sessions=10", "--threads", "5"],
      environment: ["REPRISE_LIMITS_SESSIONS": "20", "REPRISE_LIMITS_STEPS": "21"])
    #expect(result.status == 0, "\(result.errors)")
    let all = try json(result.output)
    let limits = try #require(all["limits"] as? [String: Any])
    #expect(all["threads"] as? Int == 5 && all["session_seconds"] as? Int == 32)
    #expect(limits["sessions"] as? Int == 10 && limits["steps"] as? Int == 21)
    #expect(limits["contexts"] as? Int == 4096)
  }

  @Test func printedSettingsHaveTheSameEffect() throws {
    let directory = try Directory()
    let printed = try run(
      Self.needed + ["--limit", "line_bytes=2000", "--http", "[::1]:9", "--socket-mode", "660"])
    #expect(printed.status == 0)
    let file = try directory.write(printed.output, to: "c.json")
    #expect(try run(["serve", "--config", file, "--print-config"]).output == printed.output)
  }

  @Test func mistakesAreNamedWithWhereTheyStand() throws {
    let directory = try Directory()
    let cases: [(file: String, arguments: [String], environment: [String: String], says: String)] =
      [
        (#"{"stor": "x"}"#, [], [:], "stor in"),
        (#"{"limits": {"session": 1}}"#, [], [:], "limits.session in"),
        (#"{"threads": "two"}"#, [], [:], "threads in"),
        (#"{"threads": 65}"#, [], [:], "is 65, expected 1 to 64"),
        (#"{"background_cores": 65536}"#, [], [:], "is 65536, expected 0 to"),
        ("{", [], [:], "cannot be read"), ("[]", [], [:], "cannot be read"),
        ("{}", ["--limit", "sessions"], [:], "--limit sessions: expected NAME=INTEGER"),
        ("{}", ["--limit", "session=1"], [:], "--limit session=1: expected"),
        ("{}", ["--limit", "sessions=0"], [:], "--limit sessions is 0, expected 1 to"),
        ("{}", [], ["REPRISE_THREADS": "many"], "REPRISE_THREADS is of the wrong type"),
        ("{}", [], ["REPRISE_LIMITS_STEPS": "-1"], "REPRISE_LIMITS_STEPS is -1"),
        ("{}", ["--socket-mode", "888"], [:], "listen.socket_mode is \"888\""),
        ("{}", ["--log-level", "loud"], [:], "log_level is \"loud\""),
        ("{}", ["--snapshot", "z"], [:], "--store DIR or --snapshot FILE"),
        ("{}", ["--tls-key", "z"], [:], "TLS needs both"),
        ("{}", ["--http", "a:b:1"], [:], "http is \"a:b:1\""),
        ("{}", ["--limit", "connections=65536"], [:], "ulimit"),
      ]
    for (text, arguments, environment, says) in cases {
      let file = try directory.write(text, to: "c.json")
      // So that the last case is refused wherever the tests run.
      let result = try run(
        Self.needed + ["--config", file] + arguments, environment: environment)
      if says == "ulimit" && result.status == 0 { continue }
      #expect(result.status == 78, "\(text) \(arguments) \(environment): \(result.output)")
      #expect(result.errors.contains(says), "\(text) \(arguments) \(environment): \(result.errors)")
    }
    #expect(try run(["serve", "--store", "x"]).status == 78)
  }

  @Test func checkingLooksAtTheFilesThatAreNamed() throws {
    let directory = try Directory()
    let check = ["serve", "--store", "x", "--socket", "y", "--check-config"]
    #expect(try run(check).status == 0)
    let access = directory.path + "/access.json"
    let missing = try run(check + ["--access", access])
    #expect(missing.status == 78 && missing.errors.contains(access))
    #expect(try run(["token", "create", "--access", access, "--name", "a"]).status == 0)
    #expect(try run(check + ["--access", access]).status == 0)
    let open = try run(check + ["--access", access, "--listen", "0.0.0.0:7411"])
    #expect(open.status == 78 && open.errors.contains("--tls-certificate"))
  }

  /// All threads but event loops share the last core, and event loops have none of it.
  @Test(.enabled(if: ProcessInfo.processInfo.activeProcessorCount > 1))
  func eventLoopsLeaveCoresToTheBackground() throws {
    let service = try RepriseProcess()
    try service.start(["--background-cores", "1"])
    let cores = service.coresOfThreads()
    let isLoop = { (name: String) in name.hasPrefix("NIO-ELT") }
    let loops = Set(cores.filter { isLoop($0.key) }.values.joined())
    let others = Set(cores.filter { !isLoop($0.key) }.values.joined())
    let last = try #require(others.first)
    #expect(others == [last] && !loops.isEmpty && loops.allSatisfy { $0 < last }, "\(cores)")
    #expect(service.end(SIGTERM) == 0)
    // By default no thread is bound to cores.
    try service.start()
    #expect(Set(service.coresOfThreads().values).count == 1)
    #expect(service.end(SIGTERM) == 0)
  }

  @Test func aTokenIsMadeUsedAndTakenAway() throws {
    let service = try RepriseProcess()
    let access = service.directory + "/access.json"
    let made = try run([
      "token", "create", "--access", access, "--name", "agents", "--corpora", "agents,sql-*",
    ])
    let token = made.output.trimmingCharacters(in: .whitespacesAndNewlines)
    #expect(made.status == 0 && token.hasPrefix("rp_") && token.utf8.count == 67)
    let attributes = try FileManager.default.attributesOfItem(atPath: access)
    #expect(attributes[.posixPermissions] as? Int == 0o600)
    #expect(try !String(contentsOfFile: access, encoding: .utf8).contains(token))
    let again = try run(["token", "create", "--access", access, "--name", "agents"])
    #expect(again.status == 1 && again.errors.contains("already"))
    #expect(
      try run(["token", "create", "--access", access, "--name", "b", "--rights", "all"]).status
        == 64)
    let list = try run(["token", "list", "--access", access])
    #expect(list.output.contains("draft,insert") && list.output.contains("agents,sql-*"))

    try service.start(["--access", access])
    let file = service.directory + "/token"
    try Data("\(token)\n".utf8).write(to: URL(fileURLWithPath: file))
    let create = ["corpus", "create", "agents", "--socket", service.socket]
    let without = try run(create)
    #expect(without.status == 1 && without.errors.contains("server.authenticate"))
    #expect(try run(create + ["--token-file", file]).status == 0)
    let list2 = ["corpus", "list", "--socket", service.socket]
    #expect(try run(list2, environment: ["REPRISE_TOKEN": token]).output.contains("agents"))
    let wrong = try run(list2, environment: ["REPRISE_TOKEN": "rp_nobody"])
    #expect(wrong.status == 1 && wrong.errors.contains("not one that this service knows"))

    #expect(try run(["token", "revoke", "--access", access, "agents"]).status == 0)
    #expect(try run(["token", "revoke", "--access", access, "agents"]).status == 1)
    service.send(SIGHUP)
    // The signal is processed a moment later.
    var status: Int32 = 0
    while status == 0 { status = try run(list2, environment: ["REPRISE_TOKEN": token]).status }
    #expect(status == 1)
    #expect(service.end(SIGTERM) == 0)
  }
}
