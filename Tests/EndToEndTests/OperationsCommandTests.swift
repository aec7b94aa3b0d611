import Foundation
import Testing

/// Operators' work with the command, over a socket and on a store without a service.
@Suite(.serialized) struct OperationsCommandTests {
  /// Runs a command that must succeed, and parses its output.
  func answer(_ arguments: [String], input: String = "") throws -> [String: Any] {
    let result = try run(arguments + ["--json"], input: input)
    #expect(result.status == 0, "\(arguments): \(result.errors)")
    return try json(result.output)
  }

  func draft(_ corpus: String, _ context: [Int], _ target: [String]) throws -> [Int] {
    let draft = try answer(
      ["speculate", "--corpus", corpus, "--max-tokens", "4"] + target + context.map(String.init))
    return try #require(draft["tokens"] as? [Int])
  }

  /// A running service with the trace in corpus "demo", and snapshot "s" of it.
  func startWithSnapshot() throws -> RepriseProcess {
    let service = try RepriseProcess()
    try service.start()
    _ = try answer(
      ["insert", "--corpus", "demo", "--create", "--socket", service.socket, "-"],
      input: CommandTests.trace)
    _ = try answer(
      ["snapshot", "create", "--corpus", "demo", "--name", "s", "--socket", service.socket])
    return service
  }

  // MARK: Without a service or store

  @Test func everyCommandHelps() throws {
    for command in [
      [], ["serve"], ["insert"], ["forget"], ["speculate"], ["corpus"], ["corpus", "list"],
      ["corpus", "create"], ["corpus", "stats"], ["corpus", "merge"], ["corpus", "drop"],
      ["snapshot"], ["snapshot", "create"], ["snapshot", "list"], ["snapshot", "verify"],
      ["snapshot", "delete"], ["snapshot", "restore"], ["check"], ["replay"], ["sample"],
    ] {
      let result = try run(command + ["--help"])
      #expect(result.status == 0 && result.errors.isEmpty, "\(command): \(result.errors)")
      #expect(result.output.contains("USAGE: reprise"), "\(command)")
    }
  }

  @Test func mistakesAreSaid() throws {
    let cases: [(arguments: [String], says: String)] = [
      (["serve", "--socket", "s"], "--store DIR or --snapshot FILE"),
      (["serve", "--store", "a", "--snapshot", "b", "--socket", "s"], "--store DIR or"),
      (["snapshot", "verify", "--store", "x"], "no snapshot is named"),
      (["snapshot", "verify", "a", "--path", "b"], "give one of them"),
      (["snapshot", "restore", "--corpus", "c"], "no snapshot is named"),
      (["corpus", "merge", "--from", "a", "--into", "a"], "expected two corpora"),
      (["corpus", "create", "c", "--keep-tokens", "63"], "--keep-tokens is 63, expected 64 to"),
      (["corpus", "create", "c", "--keep-sequences", "7"], "--keep-sequences is 7"),
      (["corpus", "create", "c", "--keep-age", "59"], "--keep-age in seconds is 59"),
      (["corpus", "create", "c", "--keep-age", "1w"], "--keep-age is \"1w\", expected"),
      (["corpus", "create", "c", "--keep-age", ""], "--keep-age is \"\""),
      (["corpus", "create", "c", "--keep-age", "+90"], "--keep-age is \"+90\""),
      (["corpus", "create", "c", "--keep-age", "9999999999999999d"], "--keep-age is"),
      (["corpus", "create", "c", "--durability", "never"], "--durability is \"never\""),
      (["corpus", "create", "c", "--durability-ms", "9"], "only with --durability interval"),
      (
        ["corpus", "create", "c", "--durability", "interval", "--durability-ms", "60001"],
        "--durability-ms is 60001"
      ),
      (["forget", "--corpus", "c"], "no id is given"),
      (["forget", "--corpus", "c", String(repeating: "x", count: 257)], "is not an id"),
      (["replay", "--snapshot", "a", "--store", "b", "-"], "--snapshot excludes"),
      (["replay", "--snapshot", "a", "--corpus", "b", "-"], "excludes --corpus"),
      (["replay", "--snapshot", "a", "--warm", "1", "-"], "--warm is 1"),
    ]
    for (arguments, says) in cases {
      let result = try run(arguments)
      #expect(result.status == (arguments[0] == "serve" ? 78 : 64), "\(arguments)")
      #expect(result.errors.contains(says), "\(arguments): \(result.errors)")
    }
  }

  @Test func missingThingsAreSaidOverASocket() throws {
    let service = try RepriseProcess()
    try service.start()
    let target = ["--socket", service.socket]
    for (arguments, says) in [
      (["snapshot", "create", "--corpus", "x"], "no corpus"),
      (["forget", "--corpus", "x", "a"], "no corpus"),
      (["corpus", "merge", "--from", "x", "--into", "y"], "no corpus"),
      (["corpus", "stats", "x"], "no corpus"),
    ] {
      let result = try run(arguments + target)
      #expect(result.status == 1, "\(arguments)")
      #expect(result.errors.contains(says), "\(arguments): \(result.errors)")
    }
    let bad = try run(
      ["forget", "--corpus", "x", "--ids-from", "-"] + target,
      input: "a\n\n" + String(repeating: "x", count: 257) + "\n")
    #expect(bad.status == 1 && bad.errors.contains("standard input, line 3"), "\(bad.errors)")
    #expect(service.end(SIGTERM) == 0)
  }

  // MARK: With a store

  @Test func snapshotsAreTakenAndRestored() throws {
    let service = try RepriseProcess()
    try service.start()
    // Over the socket of a service, then in its store after the service has ended.
    for target in [["--socket", service.socket], ["--store", service.store]] {
      let isAtRest = target[0] == "--store"
      if isAtRest { #expect(service.end(SIGTERM) == 0) }
      let (corpus, name) = isAtRest ? ("rest", "r1") : ("live", "l1")
      _ = try answer(
        ["insert", "--corpus", corpus, "--create", "-"] + target, input: CommandTests.trace)
      let before = try draft(corpus, [100, 101], target)
      let taken = try answer(
        ["snapshot", "create", "--corpus", corpus, "--name", name] + target)
      #expect(taken["snapshot"] as? String == name && taken["tokens"] as? Int == 2580)
      _ = try answer(
        ["insert", "--corpus", corpus, "-"] + target,
        input: String(repeating: "{\"tokens\":[100,101,7,7,7,7]}\n", count: 100))
      #expect(try draft(corpus, [100, 101], target) != before)

      let refused = try run(["snapshot", "restore", name, "--corpus", corpus] + target)
      #expect(refused.status == 1 && refused.errors.contains("already exists"))
      let restored = try answer(
        ["snapshot", "restore", name, "--corpus", corpus, "--replace"] + target)
      #expect(restored["tokens"] as? Int == 2580)
      #expect(try draft(corpus, [100, 101], target) == before)
      let file = "\(service.store)/snapshots/\(name).snapshot"
      let copied = try answer(
        ["snapshot", "restore", "--path", file, "--corpus", corpus + "2"] + target)
      #expect(copied["corpus"] as? String == corpus + "2")
      #expect(try draft(corpus + "2", [100, 101], target) == before)

      let verified = try answer(["snapshot", "verify", name] + target)
      #expect(verified["digest"] as? String == taken["digest"] as? String)
      // A file needs no store at all.
      #expect(
        try answer(["snapshot", "verify", file])["digest"] as? String
          == taken["digest"] as? String)
      var bytes = try Data(contentsOf: URL(fileURLWithPath: file))
      bytes[bytes.count / 3] ^= 4
      let flipped = service.directory + "/flipped.snapshot"
      try bytes.write(to: URL(fileURLWithPath: flipped))
      for place in [[], target] {
        let result = try run(["snapshot", "verify", "--path", flipped] + place)
        #expect(result.status == 1 && result.errors.contains("damaged"), "\(result.errors)")
      }

      let listed = try run(["snapshot", "list"] + target)
      #expect(listed.status == 0 && listed.output.contains(name))
      let list = try answer(["snapshot", "list", "--corpus", corpus] + target)
      #expect((list["snapshots"] as? [[String: Any]])?.map { $0["snapshot"] as? String } == [name])
      #expect(try answer(["snapshot", "delete", name] + target)["deleted"] as? Bool == true)
      let gone = try run(["snapshot", "delete", name] + target)
      #expect(gone.status == 1 && gone.errors.contains("no snapshot"))
    }
  }

  @Test func aSnapshotIsServedAndReplayedWithoutAStore() throws {
    let service = try startWithSnapshot()
    _ = try answer(["snapshot", "restore", "s", "--corpus", "copy", "--socket", service.socket])
    #expect(service.end(SIGTERM) == 0)
    let file = "\(service.store)/snapshots/s.snapshot"

    let replay = ["replay", "--eval", "40", "-"]
    let overSnapshot = try answer(
      replay + ["--snapshot", file], input: CommandTests.trace)
    let overStore = try answer(
      replay + ["--store", service.store, "--corpus", "copy", "--share", "never"],
      input: CommandTests.trace)
    for name in [
      "records", "output_tokens", "steps", "tokens_per_step", "accepted_per_step",
      "drafted_per_step",
    ] {
      let value = overSnapshot[name] as? Double
      #expect(value != nil && value == overStore[name] as? Double, "\(name)")
    }
    #expect((overSnapshot["history"] as? [String: Any])?["tokens"] as? Int == 2580)

    try service.startReading(file)
    let target = ["--socket", service.socket]
    #expect(try draft("demo", [100, 101, 102], target) == [103, 104, 105])
    let refused = try run(
      ["insert", "--corpus", "demo", "-"] + target, input: "{\"tokens\":[1]}")
    #expect(refused.status == 1 && refused.errors.contains("served from a snapshot"))
    #expect(try answer(["corpus", "stats", "demo"] + target)["tokens"] as? Int == 2580)
    #expect(service.end(SIGTERM) == 0)
  }

  @Test func sequencesAreForgotten() throws {
    let service = try RepriseProcess()
    try service.start()
    let target = ["--socket", service.socket]
    _ = try answer(
      ["insert", "--corpus", "demo", "--create", "-"] + target, input: CommandTests.trace)
    // A quarter of the records determine what follows 100.
    let ids = stride(from: 1, to: 60, by: 4).map { "r\($0)" }
    let one = try answer(["forget", "--corpus", "demo", ids[0], "nobody"] + target)
    #expect(one["forgotten"] as? Int == 1 && one["tokens"] as? Int == 43)
    #expect(one["missing"] as? Int == 1)
    let rest = try answer(
      ["forget", "--corpus", "demo", "--ids-from", "-"] + target,
      input: ids.joined(separator: "\n") + "\n")
    #expect(rest["forgotten"] as? Int == 14 && rest["missing"] as? Int == 1)
    #expect(try draft("demo", [100, 101], target).isEmpty)
    #expect(service.end(SIGTERM) == 0)
    let atRest = ["--store", service.store]
    #expect(
      try answer(["forget", "--corpus", "demo", "r2"] + atRest)["forgotten"] as? Int == 1)
    #expect(try answer(["corpus", "stats", "demo"] + atRest)["sequences"] as? Int == 44)
  }

  @Test func corporaAreMergedOnce() throws {
    let store = try RepriseProcess()
    let target = ["--store", store.store]
    _ = try answer(
      ["insert", "--corpus", "a", "--create", "-"] + target,
      input: "{\"id\":\"x\",\"tokens\":[1,2]}\n{\"id\":\"y\",\"tokens\":[3]}\n{\"tokens\":[4]}\n")
    _ = try answer(
      ["insert", "--corpus", "b", "--create", "-"] + target,
      input: "{\"id\":\"x\",\"tokens\":[1,2]}\n{\"id\":\"y\",\"tokens\":[9]}\n")
    let merged = try answer(["corpus", "merge", "--from", "a", "--into", "b"] + target)
    #expect(merged["sequences"] as? Int == 1 && merged["tokens"] as? Int == 1)
    #expect(merged["duplicates"] as? Int == 1 && merged["conflicts"] as? Int == 1)
    #expect(try answer(["corpus", "stats", "b"] + target)["sequences"] as? Int == 3)
  }

  @Test func settingsAreShownAndOthersRefused() throws {
    let store = try RepriseProcess()
    let target = ["--store", store.store]
    for (age, seconds) in [
      ("90", 90), ("91s", 91), ("15m", 900), ("36h", 129_600), ("30d", 2_592_000),
    ] {
      let made = try answer(["corpus", "create", "c\(age)", "--keep-age", age] + target)
      let retention = try #require(made["retention"] as? [String: Any])
      #expect(retention["age_s"] as? Int == seconds && retention["tokens"] is NSNull)
    }
    let settings = [
      "corpus", "create", "all", "--keep-tokens", "1000", "--keep-sequences", "10", "--durability",
      "interval",
    ]
    for arguments in [settings, settings + ["--durability-ms", "100"]] {
      let made = try answer(arguments + target)
      #expect(made["durability"] as? String == "interval" && made["durability_ms"] as? Int == 100)
    }
    for arguments in [settings + ["--durability-ms", "99"], settings + ["--keep-age", "1d"]] {
      let refused = try run(arguments + target)
      #expect(refused.status == 1 && refused.errors.contains("other settings"))
    }
    let stats = try run(["corpus", "stats", "all"] + target)
    for text in ["1000 tokens", "10 sequences", "interval, 100 ms"] {
      #expect(stats.output.contains(text), "\(stats.output)")
    }
    let told = try answer(["corpus", "stats", "all"] + target)
    #expect(
      told["unsaved_sequences"] as? Int == 0 && (told["damage"] as? [String])?.isEmpty == true)
    // Into an existing corpus, with any settings.
    _ = try answer(
      ["insert", "--corpus", "all", "--create", "-"] + target, input: "{\"tokens\":[1]}")
  }

  @Test func checkTellsByItsExitStatus() throws {
    let service = try startWithSnapshot()
    // While it is served, and afterwards.
    for round in 0..<2 {
      for deep in [[], ["--deep"]] {
        let report = try answer(["check", "--store", service.store] + deep)
        #expect(report["clean"] as? Bool == true)
        let corpora = try #require(report["corpora"] as? [[String: Any]])
        #expect(corpora.map { $0["tokens"] as? Int } == [2580])
        #expect((report["snapshots"] as? [Any])?.count == 1)
      }
      if round == 0 { #expect(service.end(SIGTERM) == 0) }
    }
    #expect(try run(["check", "--store", service.store]).output.contains("no damage found"))
    let nothing = try run(["check", "--store", service.directory + "/nothing"])
    #expect(nothing.status == 1 && !nothing.errors.isEmpty)

    let file = URL(fileURLWithPath: "\(service.store)/snapshots/s.snapshot")
    var bytes = try Data(contentsOf: file)
    bytes[bytes.count / 2] ^= 1
    try bytes.write(to: file)
    let damaged = try run(["check", "--store", service.store])
    #expect(damaged.status == 2, "\(damaged.errors)")
    for text in ["damaged: ", "why: ", "to do: "] { #expect(damaged.output.contains(text)) }
    let report = try json(try run(["check", "--store", service.store, "--json"]).output)
    let damage = try #require(report["damage"] as? [[String: Any]])
    #expect(report["clean"] as? Bool == false && !damage.isEmpty)
    for name in ["what", "reason", "remedy"] { #expect(damage[0][name] is String) }
  }
}
