import Foundation
import RepriseClient
import Testing
import WireProtocol

/// The command as people and scripts use it.
@Suite(.serialized) struct CommandTests {
  /// A day of repeated work, as JSONL: the same few answers to prompts that differ.
  static let trace: String =
    (0..<60).map { record in
      let answer = (0..<40).map { "\((record % 4) * 100 + $0)" }.joined(separator: ",")
      return "{\"id\":\"r\(record)\",\"prompt\":[\(record),7,8],\"response\":[\(answer)]}"
    }.joined(separator: "\n") + "\n"

  @Test func replayTellsTheSameInProcessInAStoreAndOverASocket() throws {
    let service = try RepriseProcess()
    try service.start()
    let arguments = ["replay", "--warm", "20", "--eval", "30", "--json"]
    for tree in [[], ["--tree"]] {
      let store = service.directory + "/replay-\(tree.count)"
      let reports = try [
        [], ["--store", store], ["--socket", service.socket, "--corpus", "r\(tree.count)"],
      ].map { target in
        let result = try run(arguments + tree + target + ["-"], input: Self.trace)
        #expect(result.status == 0, "\(result.errors)")
        return try json(result.output)
      }
      for name in [
        "records", "output_tokens", "steps", "tokens_per_step", "accepted_per_step",
        "drafted_per_step",
      ] {
        let values = reports.map { $0[name] as? Double }
        #expect(values[0] != nil && values[0] == values[1] && values[0] == values[2], "\(name)")
      }
      #expect(reports[0]["records"] as? Int == 30)
      #expect(reports[0]["output_tokens"] as? Int == 1200)
      #expect((reports[0]["tokens_per_step"] as? Double ?? 0) > 5)
      for (name, parts) in [
        ("draft_us", ["mean", "p50", "p99"]), ("accept_us_per_step", ["mean", "p99"]),
        ("history", ["tokens", "insert_us_per_token", "bytes", "bytes_per_token"]),
      ] {
        let members = try #require(reports[0][name] as? [String: Any])
        for part in parts { #expect(members[part] is NSNumber, "\(name).\(part)") }
      }
      #expect(reports[0]["open_us_per_prompt_token"] is NSNumber)
    }
    #expect(service.end(SIGINT) == 0)
  }

  @Test func insertStatsAndSpeculateOverARestart() throws {
    let service = try RepriseProcess()
    try service.start()
    let target = ["--socket", service.socket]
    let inserted = try run(
      ["insert", "--corpus", "demo", "--create", "--json", "-"] + target, input: Self.trace)
    #expect(try json(inserted.output)["inserted"] as? Int == 60)
    #expect(service.end(SIGTERM) == 0)
    #expect(!FileManager.default.fileExists(atPath: service.socket))
    try service.start()
    // Because of its ids, the same file again changes nothing.
    let again = try run(
      ["insert", "--corpus", "demo", "--json", "-"] + target, input: Self.trace)
    #expect(try json(again.output)["duplicates"] as? Int == 60)
    let stats = try json(try run(["corpus", "stats", "demo", "--json"] + target).output)
    #expect(stats["sequences"] as? Int == 60 && stats["tokens"] as? Int == 2580)
    let draft = try json(
      try run(
        ["speculate", "--corpus", "demo", "--json", "--max-tokens", "3"] + target + [
          "100", "101", "102",
        ]
      ).output)
    #expect(draft["tokens"] as? [Int] == [103, 104, 105])
    let drawn = try run(["speculate", "--corpus", "demo", "--tree"] + target + ["100", "101"])
    #expect(drawn.output.contains("matched 2 of 2") && drawn.output.contains("102"))
    let listed = try run(["corpus", "list"] + target)
    #expect(listed.output.contains("demo"))
    #expect(service.end(SIGTERM) == 0)
    // Without a service, the command opens the directory itself.
    let atRest = try json(
      try run(["corpus", "stats", "demo", "--json", "--store", service.store]).output)
    #expect(atRest["tokens"] as? Int == 2580)
    let dropped = try run(["corpus", "drop", "demo", "--confirm", "demo", "--store", service.store])
    #expect(dropped.status == 0)
    #expect(
      try run(["corpus", "drop", "demo", "--confirm", "demo", "--store", service.store]).status == 1
    )
  }

  @Test func callSendsOneRequestAsItIs() throws {
    let service = try RepriseProcess()
    try service.start()
    func call(_ arguments: String..., input: String = "") throws -> (
      status: Int32, output: String, errors: String
    ) {
      try run(["call"] + arguments + ["--socket", service.socket], input: input)
    }
    let made = try call("corpus.create", "{\"corpus\":\n \"a\",\"vocabulary\":9}")
    #expect(made.status == 0 && made.errors == "")
    #expect(try json(made.output)["vocabulary"] as? Int == 9)
    #expect(made.output.hasPrefix("{\"corpus\":\"a\",") && made.output.hasSuffix("}\n"))
    for (arguments, status, says) in [
      (["corpus.stats", "{\"corpus\":\"x\"}"], 66, "there is no corpus"),
      (["corpus.stats", "{}"], 64, "params.corpus is missing"),
      (["no.such"], 64, "there is no method"),
      (["corpus.create", "{\"corpus\":\"a\"}"], 65, "other settings"),
      (["server.authenticate", "{\"token\":\"t\"}"], 77, "no access file"),
    ] as [([String], Int32, String)] {
      let answer = try run(["call"] + arguments + ["--socket", service.socket])
      #expect(answer.status == status && answer.output == "", "\(arguments)")
      #expect(answer.errors.contains(says), "\(answer.errors)")
    }
    let lines = """
      {"jsonrpc":"2.0","id":"a","method":"health.live"}
      [{"jsonrpc":"2.0","id":1.50,"method":"health.live"}]
      {"jsonrpc":"2.0","id":2,"method":"corpus.stats","params":{"corpus":"x"}}
      """
    let many = try call("-", input: lines)
    #expect(many.status == 66 && many.errors == "")
    let answers = many.output.split(separator: "\n")
    #expect(answers.count == 3)
    for id in ["\"a\"", "1.50", "2"] {
      #expect(
        answers.count { $0.contains("{\"jsonrpc\":\"2.0\",\"id\":\(id),") } == 1, "\(many.output)")
    }
    #expect(service.end(SIGTERM) == 0)
    let gone = try call("server.info")
    #expect(gone.status == 69 && gone.errors.contains("cannot be reached"))
  }

  /// What went wrong: a shell's redirection creates files that all users can read.
  @Test func aTokensFileIsItsOwnersAlone() throws {
    let directory = NSTemporaryDirectory() + "reprise-\(UUID().uuidString.prefix(8))"
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: directory) }
    let (access, output) = (directory + "/access.json", directory + "/a.token")
    func create(_ name: String) throws -> (status: Int32, output: String, errors: String) {
      try run(["token", "create", "--access", access, "--name", name, "--output", output])
    }
    let made = try create("a")
    #expect(made.status == 0 && made.output == "")
    let mode = try FileManager.default.attributesOfItem(atPath: output)[.posixPermissions] as? Int
    #expect(mode == 0o600)
    let token = try String(contentsOfFile: output, encoding: .utf8)
    #expect(token.hasPrefix("rp_") && token.hasSuffix("\n"))
    // Neither the file nor the access file is changed.
    let before = try Data(contentsOf: URL(fileURLWithPath: access))
    let again = try create("b")
    #expect(again.status == 1 && again.errors.contains("already exists"))
    #expect(try String(contentsOfFile: output, encoding: .utf8) == token)
    #expect(try Data(contentsOf: URL(fileURLWithPath: access)) == before)
    // If the token is refused, no file is left.
    try FileManager.default.removeItem(atPath: output)
    #expect(try create("a").errors.contains("already"))
    #expect(!FileManager.default.fileExists(atPath: output))
  }

  @Test func mistakesAreReportedWithAnErrorStatus() throws {
    let service = try RepriseProcess()
    try service.start()
    let other = service.directory + "/other"
    try FileManager.default.createDirectory(atPath: other, withIntermediateDirectories: true)
    try Data("x".utf8).write(to: URL(fileURLWithPath: other + "/file"))
    let cases: [(arguments: [String], input: String, says: String)] = [
      (["serve", "--store", service.store, "--socket", other + "/s"], "", "another process"),
      (["serve", "--store", other, "--socket", other + "/s"], "", "not a Reprise store"),
      (
        ["serve", "--store", service.directory + "/new", "--socket", service.socket], "",
        "answers on"
      ),
      (
        ["serve", "--store", other + "/a/b/store", "--socket", other + "/s"], "",
        "there is no \(other)/a;"
      ),
      (
        ["serve", "--store", service.directory + "/new", "--socket", other + "/none/s"], "",
        "its directory \(other)/none does not exist"
      ),
      (["check", "--store", other + "/nope"], "", "there is no store at \(other)/nope"),
      (["serve", "--store", "x"], "", "--socket"),
      (["serve", "--store", "x", "--listen", "99999"], "", "listen.tcp is \"99999\""),
      (
        ["corpus", "list", "--socket", other + "/none"], "",
        "cannot be reached: there is no socket \(other)/none; start the service"
      ),
      (
        ["corpus", "list", "--socket", "/" + String(repeating: "s", count: 107)], "",
        "has 108 bytes, and the path of a socket has at most 107"
      ),
      (
        ["corpus", "list", "--connect", "127.0.0.1:1"], "",
        "cannot be reached: nothing listens on 127.0.0.1:1; start the service"
      ),
      (["call", "corpus.stats", "{\"corpus\":", "--socket", service.socket], "", "not JSON"),
      (["call", "server.info", "--store", "x"], "", "answers no requests"),
      (["corpus", "list", "--store", service.store], "", "another process"),
      (["corpus", "create", "../x", "--socket", service.socket], "", "cannot name a corpus"),
      (
        ["corpus", "drop", "a", "--confirm", "b", "--socket", service.socket], "",
        "nothing was done"
      ),
      (
        ["insert", "--corpus", "x", "--socket", service.socket, "-"], "{\"tokens\":[1]}",
        "no corpus"
      ),
      (
        ["insert", "--corpus", "x", "--create", "--socket", service.socket, "-"],
        "\n{\"tokens\":[-1]}",
        "line 2"
      ),
      (["insert", "--corpus", "x", "--create", "--socket", service.socket, "-"], "{}", "neither"),
      (["replay", "--warm", "5", "-"], "{\"response\":[1]}", "fewer than --warm 5"),
      (["replay", "--socket", "a", "--store", "b", "-"], "", "exclude"),
      (
        ["speculate", "--corpus", "x", "--min-probability", "2", "1"], "", "--min-probability is 2"
      ),
    ]
    for (arguments, input, says) in cases {
      let result = try run(arguments, input: input)
      #expect(result.status != 0, "\(arguments)")
      #expect(result.errors.contains(says), "\(arguments): \(result.errors)")
    }
    #expect(service.end(SIGTERM) == 0)
  }
}
