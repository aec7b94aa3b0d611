import CorpusStore
import Foundation
import Glibc
import Logging
import RepriseClient
import RepriseModel
import RepriseServer
import StoreErrors
import TestSupport
import Testing
import WireProtocol

/// Operators' calls to a service in use.
@Suite struct OperationsTests {
  /// The service's error; nil if there is none.
  func error(_ body: () async throws -> Void) async throws -> WireError? {
    do {
      try await body()
      return nil
    } catch ClientError.service(let error) {
      return error
    }
  }

  func drafts(_ client: RepriseClient, _ corpus: CorpusName) async throws -> [[Int32]] {
    let contexts: [[Int32]] = [[1], [1, 2], [5, 6], [9], [7, 7]]
    return try await client.speculate(contexts: contexts, corpus: corpus)
      .map { try $0.get().tokens }
  }

  // MARK: Forgetting

  @Test func forgottenSequencesAreInNoDraft() async throws {
    try await withService { fixture in
      let client = fixture.client
      try await client.insert(
        [sequence([1, 2, 3], id: "a"), sequence([1, 2, 4], id: "b"), sequence([5, 6])], into: "c")
      let old = try await client.createSnapshot(ofCorpus: "c", named: "old")
      let forgotten = try await client.forget(ids: ["a", "nobody", "b"], inCorpus: "c")
      #expect(
        forgotten
          == ForgetReceipt(forgotten: 2, tokens: 6, missing: 1, olderSnapshots: [old.name]))
      #expect(try await client.speculate([1, 2], corpus: "c").isEmpty)
      #expect(try await client.speculate([5], corpus: "c").tokens == [6])
      let stats = try await client.stats(ofCorpus: "c")
      #expect(stats.sequences == 1 && stats.tokens == 2)
      // Again, nothing is left to be forgotten; and the id is free.
      let again = try await client.forget(ids: ["a"], inCorpus: "c")
      #expect(again.forgotten == 0 && again.missing == 1)
      #expect(try await client.insert([sequence([1, 9], id: "a")], into: "c").inserted == 1)
      #expect(try await client.speculate([1], corpus: "c").tokens == [9])
      // A later snapshot holds nothing of it.
      #expect(try await client.createSnapshot(ofCorpus: "c").tokens == 4)
      #expect(
        try await error { try await client.forget(ids: ["a"], inCorpus: "x") }?.kind
          == .corpusNotFound)
    }
  }

  // MARK: Snapshots

  @Test func aSnapshotBringsDraftsBack() async throws {
    try await withService { fixture in
      let client = fixture.client
      try await client.insert(
        [sequence([1, 2, 3], id: "a"), sequence([5, 6, 7]), sequence([7, 7, 7])], into: "c")
      let before = try await drafts(client, "c")
      let taken = try await client.createSnapshot(ofCorpus: "c", named: "s1")
      #expect(taken.name == "s1" && taken.corpus == "c")
      #expect(taken.sequences == 3 && taken.tokens == 9 && taken.bytes > 0)
      #expect(taken.digest.utf8.count == 32)
      #expect(abs(Double(taken.createdSeconds) - Date().timeIntervalSince1970) < 600)

      let session = try await client.openSession(corpus: "c", prompt: [1])
      _ = try await session.step(accepting: [2])
      try await client.insert(
        [sequence([1, 2, 8]), sequence([1, 2, 8]), sequence([9, 9])], into: "c")
      #expect(try await drafts(client, "c") != before)

      // An existing corpus is not replaced, unless requested.
      let refused = try await error { try await client.restore(.named("s1"), into: "c") }
      #expect(refused?.kind == .corpusExists && refused?.details["corpus"] == .text("c"))
      let stats = try await client.restore(.named("s1"), into: "c", replacing: true)
      #expect(stats.corpus == "c" && stats.sequences == 3 && stats.tokens == 9)
      // The open session continues, and is recorded in the new history.
      _ = try await session.step(accepting: [3])
      #expect(try await session.close().recordedTokens == 2)
      #expect(try await client.stats(ofCorpus: "c").sequences == 4)
      _ = try await client.restore(.named("s1"), into: "c", replacing: true)
      #expect(try await drafts(client, "c") == before)

      // Under another name, from the store and from a copy of the file.
      let copy = fixture.directory + "/copy.snapshot"
      try FileManager.default.copyItem(
        atPath: fixture.directory + "/store/snapshots/s1.snapshot", toPath: copy)
      for (name, source) in [
        ("d", .named("s1")), ("e", .file(path: copy)),
      ] as [(CorpusName, SnapshotReference)] {
        #expect(try await client.restore(source, into: name).corpus == name)
        #expect(try await drafts(client, name) == before)
      }
      // The ids were restored too.
      #expect(
        try await client.insert([sequence([1, 2, 3], id: "a")], into: "d").duplicates == 1)
    }
  }

  @Test func snapshotsAreListedAndDeleted() async throws {
    try await withService { fixture in
      let client = fixture.client
      try await client.createCorpus("d")
      try await client.insert([sequence([1, 2])], into: "c")
      let first = try await client.createSnapshot(ofCorpus: "c", named: "b")
      let second = try await client.createSnapshot(ofCorpus: "d", named: "a")
      #expect(try await client.snapshots() == [second, first])
      #expect(try await client.snapshots(ofCorpus: "c") == [first])
      #expect(try await client.snapshots(ofCorpus: "x").isEmpty)
      #expect(try await client.verifySnapshot(.named("b")).digest == first.digest)
      // A corpus may be gone while its snapshots exist.
      try await client.dropCorpus("c")
      #expect(try await client.snapshots(ofCorpus: "c") == [first])
      #expect(try await client.deleteSnapshot("b").deleted)
      #expect(try await client.snapshots() == [second])
      for missing in [
        try await error { try await client.deleteSnapshot("b") },
        try await error { try await client.verifySnapshot(.named("b")) },
        try await error { try await client.restore(.named("b"), into: "e") },
      ] {
        #expect(missing?.kind == .snapshotNotFound)
        #expect(missing?.details["snapshot"] == .text("b"))
      }
      let path = fixture.directory + "/none"
      #expect(
        try await error { try await client.verifySnapshot(.file(path: path)) }?.kind
          == .snapshotNotFound)
      // By default the name is composed of the corpus's, and each is different.
      let unnamed = try await client.createSnapshot(ofCorpus: "d")
      #expect(unnamed.name.hasPrefix("d"))
      let taken = try await error { try await client.createSnapshot(ofCorpus: "d", named: "a") }
      #expect(taken?.kind == .conflict && taken?.details["id"] == .text("a"))
      let bad = try await error { try await client.createSnapshot(ofCorpus: "d", named: "../a") }
      #expect(bad?.kind == .invalidParams && bad?.details["member"] == .text("params.name"))
      #expect(
        try await error { try await client.createSnapshot(ofCorpus: "x") }?.kind == .corpusNotFound)
    }
  }

  /// What went wrong: the service waited for a pipe, and so did all operators.
  @Test func onlyRegularFilesAreReadAsSnapshots() async throws {
    try await withService { fixture in
      let client = fixture.client
      let pipe = fixture.directory + "/pipe"
      unsafe mkfifo(pipe, 0o600)
      let deep = fixture.directory + String(repeating: "/.", count: 500)
      for path in [pipe, "/dev/zero", "/dev/stdin", fixture.directory, deep] {
        let refused = try await error { try await client.verifySnapshot(.file(path: path)) }
        #expect(
          refused?.kind == .invalidParams && refused?.message.contains("regular file") == true)
        #expect(refused?.details["member"] == .text("params.path"))
        #expect((refused?.message.utf8.count ?? 0) < 200)
        #expect(
          try await error { try await client.restore(.file(path: path), into: "d") } == refused)
      }
      #expect(try await client.corpora().map(\.corpus) == ["c"])
    }
  }

  @Test func aFlippedByteIsFoundAndNothingIsMadeOfIt() async throws {
    try await withService { fixture in
      let client = fixture.client
      try await client.insert([sequence(Array(1...200))], into: "c")
      _ = try await client.createSnapshot(ofCorpus: "c", named: "s")
      let path = fixture.directory + "/store/snapshots/s.snapshot"
      var bytes = try Data(contentsOf: URL(fileURLWithPath: path))
      bytes[bytes.count / 2] ^= 1
      let flipped = fixture.directory + "/flipped"
      try bytes.write(to: URL(fileURLWithPath: flipped))
      try bytes.prefix(bytes.count - 1).write(to: URL(fileURLWithPath: fixture.directory + "/cut"))
      for path in [flipped, fixture.directory + "/cut"] {
        let found = try await error { try await client.verifySnapshot(.file(path: path)) }
        #expect(found?.kind == .corrupt)
        #expect(found?.details["what"] != nil && found?.details["where"] != nil)
        #expect(
          try await error { try await client.restore(.file(path: path), into: "d") }?.kind
            == .corrupt)
        #expect(
          try await error {
            try await client.restore(.file(path: path), into: "c", replacing: true)
          }?.kind == .corrupt)
      }
      #expect(try await client.corpora().map(\.corpus) == ["c"])
      #expect(try await client.stats(ofCorpus: "c").tokens == 200)
      #expect(try await client.verifySnapshot(.named("s")).tokens == 200)
    }
  }

  @Test func restoringKeepsToTheNumberOfCorporaAndToTheSettings() async throws {
    try await withService { options in
      options.limits.corporaMax = 2
    } _: { fixture in
      let client = fixture.client
      _ = try await client.createSnapshot(ofCorpus: "c", named: "s")
      try await client.createCorpus("d", CorpusSettings(depth: 8, tokenizer: "t"))
      let oneTooMany = try await error { try await client.restore(.named("s"), into: "e") }
      #expect(oneTooMany?.details["limit"] == .text("corpora"))
      let differs = try await error {
        try await client.restore(.named("s"), into: "d", replacing: true)
      }
      #expect(differs?.kind == .corpusExists && differs?.details["corpus"] == .text("d"))
      #expect(
        try await error { try await client.mergeCorpus(from: "c", into: "d") }?.kind
          == .corpusExists)
      // An existing corpus does not count as an additional one.
      #expect(try await client.restore(.named("s"), into: "c", replacing: true).tokens == 0)
    }
  }

  @Test func aSnapshotIsServedForReading() async throws {
    let fixture = try await ServiceFixture()
    try await fixture.client.insert([sequence([1, 2, 3])], into: "c")
    _ = try await fixture.client.createSnapshot(ofCorpus: "c", named: "s")
    let path = fixture.directory + "/store/snapshots/s.snapshot"
    let store = try Store(snapshot: path)
    let socket = fixture.directory + "/r"
    let service = try await RepriseServer.start(
      store, ServiceOptions(.unixSocket(path: socket)),
      logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    let client = RepriseClient(.unixSocket(path: socket), configuration: .patient)
    #expect(try await client.corpora().map(\.corpus) == ["c"])
    #expect(try await client.speculate([1, 2], corpus: "c").tokens == [3])
    let refused = try await error { try await client.insert([sequence([4])], into: "c") }
    #expect(refused?.kind == .readOnly && refused?.details["corpus"] == .text("c"))
    #expect(
      try await error { try await client.forget(ids: ["a"], inCorpus: "c") }?.kind == .readOnly)
    let session = try await client.openSession(corpus: "c", prompt: [1], share: .never)
    #expect(try await session.step(accepting: [2]).tokens == [3])
    #expect(try await session.close().order == nil)
    #expect(try await client.stats(ofCorpus: "c").tokens == 3)
    await client.close()
    try await service.stop()
    store.close()
    try await fixture.stop()
  }

  /// A store must not be closed during a call, and every call must be answered.
  @Test func workUnderWayAtTheEndIsDoneAndTheRestAnswered() async throws {
    let fixture = try await ServiceFixture()
    try await fixture.client.insert([sequence([1, 2, 3])], into: "c")
    let raw = try LineConnection(fixture.socket)
    let count = 20
    for id in 0..<count {
      raw.send(
        "{\"jsonrpc\":\"2.0\",\"id\":\(id),\"method\":\"snapshot.create\",\"params\":"
          + "{\"corpus\":\"c\",\"name\":\"s\(id)\"}}\n")
    }
    var answers = [try #require(raw.line())]
    try await fixture.service.stop()
    while let line = raw.line() { answers.append(line) }
    #expect(answers.count == count)
    let done = answers.count { $0.contains("\"digest\"") }
    #expect(done >= 1 && done + answers.count { $0.contains("\"kind\":\"busy\"") } == count)
    #expect(try fixture.store.snapshots().count == done)
    await fixture.client.close()
    fixture.store.close()
    try FileManager.default.removeItem(atPath: fixture.directory)
  }

  // MARK: Merging

  @Test func sequencesInBothCorporaAreMergedOnce() async throws {
    try await withService { fixture in
      let client = fixture.client
      try await client.createCorpus("d")
      try await client.insert(
        [sequence([1, 2, 3], id: "a"), sequence([4, 5], id: "b"), sequence([6, 7])], into: "c")
      try await client.insert(
        [sequence([1, 2, 3], id: "a"), sequence([4, 9], id: "b"), sequence([8], id: "e")],
        into: "d")
      let merged = try await client.mergeCorpus(from: "c", into: "d")
      #expect(merged == MergeReceipt(sequences: 1, tokens: 2, duplicates: 1, conflicts: 1))
      #expect(try await client.speculate([1, 2], corpus: "d").counts == [1])
      #expect(try await client.speculate([4], corpus: "d").tokens == [9], "what stood there stays")
      #expect(try await client.speculate([6], corpus: "d").tokens == [7])
      let source = try await client.stats(ofCorpus: "c")
      #expect(source.sequences == 3 && source.tokens == 7)
      for (from, into) in [("x", "d"), ("d", "x")] as [(CorpusName, CorpusName)] {
        #expect(
          try await error { try await client.mergeCorpus(from: from, into: into) }?.kind
            == .corpusNotFound)
      }
    }
  }

  // MARK: Settings

  @Test func settingsAreShownAndOthersRefused() async throws {
    try await withService { fixture in
      let client = fixture.client
      let retention = Retention(tokens: 100, sequences: 10, ageSeconds: 3600)
      let durability = Durability.interval(millis: 50)
      let settings = CorpusSettings(retention: retention, durability: durability)
      for _ in 0..<2 {
        let made = try await client.createCorpus("d", settings)
        #expect(made.settings == settings)
      }
      let stats = try await client.stats(ofCorpus: "d")
      #expect(stats.settings == settings)
      #expect(stats.damage.isEmpty)
      let plain = try await client.stats(ofCorpus: "c")
      #expect(plain.settings == CorpusSettings())
      #expect(plain.unsavedSequences == 0)
      for (other, mode) in [
        (Retention(tokens: 101, sequences: 10, ageSeconds: 3600), durability),
        (Retention(tokens: 100, sequences: 10), durability), (retention, .commit),
        (retention, .interval(millis: 51)),
      ] {
        let refused = try await error {
          try await client.createCorpus("d", CorpusSettings(retention: other, durability: mode))
        }
        #expect(refused?.kind == .corpusExists)
      }
      // A sequence that could not be kept even alone.
      let large = try await error { try await client.insert([sequence(Array(0...100))], into: "d") }
      #expect(large?.kind == .limitExceeded)
      #expect(large?.details["limit"] == .text("retention_tokens"))
      #expect(large?.details["max"] == .number(100) && large?.details["got"] == .number(101))
      let many = try await error {
        try await client.insert((0..<11).map { sequence([$0]) }, into: "d")
      }
      #expect(many?.details["limit"] == .text("retention_sequences"))
      #expect(many?.details["max"] == .number(10) && many?.details["got"] == .number(11))
    }
  }

  /// Errors of the store that are not caused over a socket here.
  @Test func errorsOfTheStoreHaveTheirKinds() {
    for (error, kind, details) in [
      (StoreError.snapshotNotFound("s"), ErrorKind.snapshotNotFound, ["snapshot": .text("s")]),
      (.snapshotExists("s"), .conflict, ["id": .text("s")]),
      (.snapshotName("/"), .invalidParams, ["member": .text("params.snapshot")]),
      (
        .snapshotDamaged(snapshot: "s", reason: "cut short"), .corrupt,
        ["what": .text("snapshot s"), "where": .text("cut short")]
      ),
      (.readOnly(corpus: "c"), .readOnly, ["corpus": .text("c")]),
      (
        .exceedsRetention(bound: .tokens, max: 64, got: 65), .limitExceeded,
        ["limit": .text("retention_tokens"), "max": .number(64), "got": .number(65)]
      ),
      (
        .settingsDiffer(differences: [.depth(has: 64, asked: 9)]), .corpusExists,
        ["corpus": .text("d"), "differences": .texts(["depth is 64, asked for 9"])]
      ),
    ] as [(StoreError, ErrorKind, [String: WireError.Detail])] {
      #expect(WireError(error, corpus: "d") == WireError(kind, error.description, details))
    }
  }
}
