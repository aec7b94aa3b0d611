import CorpusStore
import Foundation
import RepriseClient
import RepriseModel
import TestSupport
import ToolSupport
import WireProtocol

/// The cost of a snapshot for drafts and inserts in the meantime, and a check that a restored
/// corpus drafts as the original did at that moment.
struct SnapshotBenchmark {
  private let setting: Setting
  private static let snapshots = 5
  /// Inserts are small pieces, so that there are many of them.
  private static let pieceTokens = 256

  init(_ setting: Setting) { self.setting = setting }

  func run(_ report: inout Report) async throws {
    guard let large = setting.large else { return }
    try setting.require(setting.tenMillionStore, of: "drafts")
    report.begin(
      "Snapshots of 10 M tokens, while one session steps and one connection inserts, as fast as they go"
    )
    // Outputs that the history does not hold.
    let outputs = try setting.outputs(of: large, after: 10_100_000, tokens: 6_000_000)
    let pieces = outputs.flatMap { output in
      stride(from: 0, to: output.count - Self.pieceTokens, by: Self.pieceTokens).map {
        Array(output[$0..<($0 + Self.pieceTokens)])
      }
    }
    let store = try copyOfHistory("snapshot")
    let (snapshot, sequences) = try await take(store, outputs, pieces, &report)

    // In another store, beside a corpus that holds what the original held at that moment.
    let restored = try await serve("snapshot-restored", socket: "r", empty: true)
    let start = nanoseconds()
    let stats = try await restored.client.restore(.file(path: snapshot), into: "large")
    report.add("restored into another store in", Double(nanoseconds() - start) / 1e9, "s")
    guard stats.sequences == sequences else {
      throw ToolError("the snapshot has not what it says")
    }
    let expected = try copyOfHistory("snapshot-expected")
    try insert(pieces, into: expected, upTo: sequences)
    let original = try await serve("snapshot-expected", socket: "o", empty: false)
    let history = try readTrace(large, tokensMax: 2_000_000).map(\.output)
    let asked = zip(outputs, history).flatMap { [$0, $1] }
    DraftComparison(corpus: "large", outputs: asked).report(
      try original.connect(), try restored.connect(), to: &report)
    await original.stop()
    await restored.stop()
  }

  /// Takes snapshots under load. Returns the last one's file and the number of its sequences.
  private func take(
    _ store: String, _ outputs: [[Int32]], _ pieces: [[Int32]], _ report: inout Report
  ) async throws -> (path: String, sequences: Int) {
    let service = try await serve("snapshot", socket: "s", empty: false)
    let (stepping, inserting) = (try service.connect(), try service.connect())
    stepping.exchange(
      requestLine(
        .sessionOpen(SessionOpen(corpus: "large", session: "a", prompt: [], share: .never))))
    let steps = outputs.prefix(400).flatMap { output in
      stride(from: 0, to: output.count - 3, by: 3).map { start in
        var step = SessionStep()
        step.append(session: "a", accept: Array(output[start..<(start + 3)]))
        return requestLine(.sessionStep(step))
      }
    }
    let inserts = pieces.map {
      requestLine(.sequenceInsert(SequenceInsert(corpus: "large", sequences: [.init(tokens: $0)])))
    }
    let steppingLoop = BackgroundLoop { stepping.exchange(steps[$0 % steps.count]).nanoseconds }
    let insertingLoop = BackgroundLoop { number in
      number < inserts.count ? inserting.exchange(inserts[number]).nanoseconds : nil
    }
    try await Task.sleep(for: .seconds(1))
    _ = (steppingLoop.takeTimes(), insertingLoop.takeTimes())
    try await Task.sleep(for: .seconds(5))
    let quiet = (steppingLoop.takeTimes(), insertingLoop.takeTimes())
    var seconds: [Double] = []
    var snapshot: SnapshotDescription?
    for _ in 0..<Self.snapshots {
      if let snapshot { try await service.client.deleteSnapshot(snapshot.name) }
      let start = nanoseconds()
      snapshot = try await service.client.createSnapshot(ofCorpus: "large")
      seconds.append(Double(nanoseconds() - start) / 1e9)
    }
    let busy = (steppingLoop.takeTimes(), insertingLoop.takeTimes())
    steppingLoop.stop()
    insertingLoop.stop()
    await service.stop()
    guard let snapshot else { throw ToolError("no snapshot") }

    for (times, when) in [(quiet, "without"), (busy, "during \(Self.snapshots) snapshots")] {
      report.add("steps \(when)", Double(times.0.count), "")
      report.add("a step \(when): p50", times.0.quantile(0.5) / 1000, "ms")
      report.add("a step \(when): p99", times.0.quantile(0.99) / 1000, "ms")
      report.add("a step \(when): largest", times.0.quantile(1) / 1000, "ms")
      report.add("inserts \(when)", Double(times.1.count), "")
      report.add("an insert \(when): p50", times.1.quantile(0.5) / 1000, "ms")
      report.add("an insert \(when): p99", times.1.quantile(0.99) / 1000, "ms")
      report.add("an insert \(when): largest", times.1.quantile(1) / 1000, "ms")
    }
    report.add(
      "a step later because of snapshots, at p99.9",
      (busy.0.quantile(0.999) - quiet.0.quantile(0.999)) / 1000, "ms", .atMost(5))
    report.add(
      "a step later because of snapshots, at the largest",
      (busy.0.quantile(1) - quiet.0.quantile(1)) / 1000, "ms", .atMost(5))
    report.add("a snapshot takes: median", median(seconds), "s")
    report.add("a snapshot takes: longest", seconds.max() ?? 0, "s")
    report.add("its size", Double(snapshot.bytes) / 1e6, "MB")
    report.add("its size", Double(snapshot.bytes) / Double(snapshot.tokens), "B a token")
    return ("\(store)/snapshots/\(snapshot.name).snapshot", snapshot.sequences)
  }

  private func copyOfHistory(_ name: String) throws -> String {
    let store = try setting.emptyStore(name)
    try FileManager.default.copyItem(atPath: setting.tenMillionStore, toPath: store)
    return store
  }

  /// Adds the pieces that had been inserted when the history had this number of sequences.
  private func insert(_ pieces: [[Int32]], into path: String, upTo sequences: Int) throws {
    let store = try Store(path: path)
    defer { store.close() }
    guard let corpus = try store.corpus(named: "large") else { throw ToolError("no corpus") }
    let missing = pieces.prefix(sequences - corpus.stats().sequences)
    for first in stride(from: 0, to: missing.count, by: 256) {
      try corpus.insert(
        missing[first..<min(first + 256, missing.count)].map { NewSequence(tokens: $0) })
    }
  }

  private func serve(_ store: String, socket: String, empty: Bool) async throws -> Served {
    try Served(
      setting.reprise, store: empty ? try setting.emptyStore(store) : "\(setting.work)/\(store)",
      socket: "\(setting.work)/\(socket)")
  }
}
