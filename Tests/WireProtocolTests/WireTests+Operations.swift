import RepriseModel

@testable import WireProtocol

/// The calls of operators, in the form that `WireTests` checks.
extension WireTests {
  static let operationCalls: [Call] = [
    .corpusCreate(
      CorpusCreate(
        corpus: "c",
        settings: CorpusSettings(
          retention: Retention(tokens: 64, sequences: 1 << 40, ageSeconds: 3600),
          durability: .interval(millis: 60_000)))),
    .corpusCreate(
      CorpusCreate(
        corpus: "c",
        settings: CorpusSettings(
          retention: Retention(sequences: 8), durability: .interval(millis: 1)))),
    .corpusMerge(CorpusMerge(from: "a", into: "b")),
    .sequenceForget(SequenceForget(corpus: "c", ids: ["a", "zwei \"\\\n\u{1}é😀"])),
    .sequenceForget(SequenceForget(corpus: "c", ids: [])),
    .snapshotCreate(SnapshotCreate(corpus: "c", name: "before-update.1")),
    .snapshotCreate(SnapshotCreate(corpus: "c")),
    .snapshotList(corpus: "c"), .snapshotList(corpus: nil),
    .snapshotVerify(.named("s")), .snapshotVerify(.file(path: "/tmp/\"ä\".snapshot")),
    .snapshotDelete(snapshot: "s"),
    .snapshotRestore(SnapshotRestore(.named("s"), corpus: "c", replace: true)),
    .snapshotRestore(SnapshotRestore(.file(path: "x"), corpus: "c")),
  ]

  typealias Wrong = (line: String, kind: ErrorKind, says: String)

  static let operationsWrong: [Wrong] =
    [
      (
        "corpus.create", "\"corpus\":\"c\",\"retention\":7",
        "params.retention is 7, expected an object"
      ),
      (
        "corpus.create", "\"corpus\":\"c\",\"retention\":{\"tokens\":63}",
        "params.retention.tokens is 63, expected an integer from 64"
      ),
      (
        "corpus.create", "\"corpus\":\"c\",\"retention\":{\"tokens\":1e6}",
        "params.retention.tokens is 1000000.0"
      ),
      (
        "corpus.create", "\"corpus\":\"c\",\"retention\":{\"sequences\":7}",
        "params.retention.sequences is 7"
      ),
      (
        "corpus.create", "\"corpus\":\"c\",\"retention\":{\"age_s\":59}",
        "params.retention.age_s is 59"
      ),
      (
        "corpus.create", "\"corpus\":\"c\",\"retention\":{\"age_s\":null}",
        "params.retention.age_s is null"
      ),
      (
        "corpus.create", "\"corpus\":\"c\",\"retention\":{\"tokens\":64,\"tokens\":64}", "twice"
      ),
      ("corpus.create", "\"corpus\":\"c\",\"retention\":{},\"retention\":{}", "twice"),
      (
        "corpus.create", "\"corpus\":\"c\",\"durability\":\"never\"",
        "params.durability is a string, expected \"commit\" or \"interval\""
      ),
      ("corpus.create", "\"corpus\":\"c\",\"durability\":0", "params.durability is 0"),
      (
        "corpus.create", "\"corpus\":\"c\",\"durability\":\"commit\",\"durability\":\"commit\"",
        "twice"
      ),
      (
        "corpus.create", "\"corpus\":\"c\",\"durability_ms\":100",
        "params.durability_ms is allowed only with durability \"interval\""
      ),
      (
        "corpus.create", "\"corpus\":\"c\",\"durability\":\"commit\",\"durability_ms\":100",
        "params.durability_ms is allowed"
      ),
      (
        "corpus.create", "\"corpus\":\"c\",\"durability\":\"interval\",\"durability_ms\":0",
        "params.durability_ms is 0"
      ),
      (
        "corpus.create", "\"corpus\":\"c\",\"durability\":\"interval\",\"durability_ms\":60001",
        "params.durability_ms is 60001"
      ),
      ("corpus.merge", "\"from\":\"a\"", "params.into is missing"),
      ("corpus.merge", "\"into\":\"a\"", "params.from is missing"),
      ("corpus.merge", "\"from\":\"a\",\"into\":\"a\"", "are both \"a\""),
      ("sequence.forget", "\"corpus\":\"c\"", "params.ids is missing"),
      ("sequence.forget", "\"ids\":[]", "params.corpus is missing"),
      ("sequence.forget", "\"corpus\":\"c\",\"ids\":\"a\"", "params.ids is a string"),
      ("sequence.forget", "\"corpus\":\"c\",\"ids\":[\"a\",7]", "params.ids[1] is 7"),
      ("sequence.forget", "\"corpus\":\"c\",\"ids\":[\"\"]", "params.ids[0]"),
      ("snapshot.create", "\"name\":\"s\"", "params.corpus is missing"),
      ("snapshot.create", "\"corpus\":\"c\",\"name\":\"\"", "not empty"),
      ("snapshot.create", "\"corpus\":\"c\",\"name\":1", "params.name is 1"),
      ("snapshot.list", "\"corpus\":\"\"", "not empty"),
      ("snapshot.list", "\"snapshot\":\"s\"", "params.snapshot is not known"),
      ("snapshot.verify", "", "neither snapshot nor path"),
      ("snapshot.verify", "\"snapshot\":\"s\",\"path\":\"p\"", "both snapshot and path"),
      ("snapshot.verify", "\"snapshot\":\"\"", "not empty"),
      ("snapshot.verify", "\"path\":\"\"", "not empty"),
      (
        "snapshot.verify", "\"path\":\"a\\u0000b\"",
        "params.path is a string, expected a path without"
      ),
      ("snapshot.delete", "", "params.snapshot is missing"),
      ("snapshot.delete", "\"path\":\"p\"", "params.path is not known"),
      ("snapshot.restore", "\"corpus\":\"c\"", "neither snapshot nor path"),
      ("snapshot.restore", "\"snapshot\":\"s\"", "params.corpus is missing"),
      (
        "snapshot.restore", "\"corpus\":\"c\",\"path\":\"p\",\"snapshot\":\"s\"",
        "both snapshot and path"
      ),
      (
        "snapshot.restore", "\"corpus\":\"c\",\"path\":\"p\",\"replace\":1", "params.replace is 1"
      ),
    ].map { (method, members, says) in (params(method, members), .invalidParams, says) }

  typealias LimitCase = (limit: String, max: Int, line: @Sendable (Int) -> String)

  /// With the limits of `WireTests.smallLimits`.
  static let operationLimits: [LimitCase] = [
    (
      "forget_ids", 3,
      { params("sequence.forget", "\"corpus\":\"c\",\"ids\":\(array("\"a\"", $0))") }
    ),
    (
      "sequence_id_bytes", 4,
      {
        params(
          "sequence.forget", "\"corpus\":\"c\",\"ids\":[\"\(String(repeating: "i", count: $0))\"]")
      }
    ),
    (
      "snapshot_name_bytes", 4,
      {
        params(
          "snapshot.create", "\"corpus\":\"c\",\"name\":\"\(String(repeating: "n", count: $0))\"")
      }
    ),
    (
      "snapshot_name_bytes", 4,
      { params("snapshot.verify", "\"snapshot\":\"\(String(repeating: "n", count: $0))\"") }
    ),
    (
      "snapshot_name_bytes", 4,
      { params("snapshot.delete", "\"snapshot\":\"\(String(repeating: "n", count: $0))\"") }
    ),
    (
      "path_bytes", 4,
      {
        params(
          "snapshot.restore", "\"corpus\":\"c\",\"path\":\"\(String(repeating: "p", count: $0))\"")
      }
    ),
  ]
}
