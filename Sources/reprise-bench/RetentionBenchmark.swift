import CorpusStore
import Foundation
import RepriseClient
import RepriseModel
import TestSupport
import WireProtocol

/// A bounded corpus that is fed ten times its bound: the tokens that it keeps, and the size of its
/// file.
struct RetentionBenchmark {
  private let setting: Setting
  private static let boundTokens = 1_000_000
  private static let fedTokens = 10_000_000
  private static let sampledTokens = 50_000
  private static let sequencesPerCall = 8

  init(_ setting: Setting) { self.setting = setting }

  func run(_ report: inout Report, _ plot: inout RetentionPlot) async throws {
    guard let large = setting.large else { return }
    report.begin("A corpus bounded at 1 M tokens and fed 10 M")
    let outputs = try setting.outputs(of: large, after: 0, tokens: Self.fedTokens)
    let bounded = try Served(
      setting.reprise, store: try setting.emptyStore("bounded"), socket: "\(setting.work)/s")
    try await bounded.client.createCorpus(
      "large", CorpusSettings(retention: Retention(tokens: Self.boundTokens)))
    let kept = try await feed(outputs, bounded, &report, &plot)

    // A corpus of exactly the history that should be kept.
    let expected = try Served(
      setting.reprise, store: try setting.emptyStore("bounded-expected"),
      socket: "\(setting.work)/r")
    try await expected.client.createCorpus("large")
    for first in stride(from: 0, to: kept.count, by: 64) {
      let sequences = kept[first..<min(first + 64, kept.count)].map {
        NewSequence(tokens: $0)
      }
      try await expected.client.insert(sequences, into: "large", deadline: .seconds(60))
    }
    // Contexts from kept history, from removed history, and from text that was never inserted.
    let others = try setting.outputs(of: large, after: Self.fedTokens, tokens: 1_000_000)
    let asked = zip(zip(kept, outputs), others).flatMap { [$0.0, $0.1, $1] }
    DraftComparison(corpus: "large", outputs: asked).report(
      try expected.connect(), try bounded.connect(), to: &report)
    await expected.stop()
    await bounded.stop()
  }

  /// Inserts all outputs, one call after the other. Returns the history that should be kept.
  private func feed(
    _ outputs: [[Int32]], _ bounded: Served, _ report: inout Report, _ plot: inout RetentionPlot
  ) async throws -> [[Int32]] {
    let file = "\(setting.work)/bounded/corpora/large/data.mdb"
    let connection = try bounded.connect()
    var rule = Rule(bound: Self.boundTokens)
    var fed = 0
    var sampled = 0
    var (mostKept, mostUsed) = (0, (firstHalf: 0, secondHalf: 0))
    let start = nanoseconds()
    for first in stride(from: 0, to: outputs.count, by: Self.sequencesPerCall) {
      let call = Array(outputs[first..<min(first + Self.sequencesPerCall, outputs.count)])
      let line = requestLine(
        .sequenceInsert(
          SequenceInsert(corpus: "large", sequences: call.map { .init(tokens: $0) })))
      let answer = connection.ask(line)
      guard answer.contains("\"inserted\":\(call.count)") else { throw ToolError(answer) }
      rule.insert(call)
      fed += call.reduce(0) { $0 + $1.count }
      if fed - sampled < Self.sampledTokens { continue }
      sampled = fed
      let stats = try await bounded.client.stats(ofCorpus: "large")
      guard stats.tokens == rule.tokens else {
        throw ToolError("\(stats.tokens) tokens are kept; by the rule, \(rule.tokens) should be")
      }
      let size = try Self.size(of: file)
      plot.add(fed: fed, kept: stats.tokens, bytesUsed: size.used, bytesLong: size.long)
      mostKept = max(mostKept, stats.tokens)
      if fed < Self.fedTokens / 2 {
        mostUsed.firstHalf = max(mostUsed.firstHalf, size.used)
      } else {
        mostUsed.secondHalf = max(mostUsed.secondHalf, size.used)
      }
    }
    let seconds = Double(nanoseconds() - start) / 1e9
    report.add("tokens fed", Double(fed) / 1e6, "million")
    report.add(
      "in calls of \(Self.sequencesPerCall) sequences", Double(fed) / seconds, "tokens a second")
    report.add("tokens kept at the end, as by the rule", Double(rule.tokens) / 1e6, "million")
    report.add("most tokens kept", Double(mostKept) / 1e6, "million", .atMost(1.125))
    report.add("most in use on the disk, first 5 M", Double(mostUsed.firstHalf) / 1e6, "MB")
    report.add("most in use on the disk, last 5 M", Double(mostUsed.secondHalf) / 1e6, "MB")
    report.add(
      "last to first", Double(mostUsed.secondHalf) / Double(mostUsed.firstHalf), "times",
      .atMost(1.1))
    return rule.kept
  }

  /// The rule of `Retention`, applied to a list.
  private struct Rule {
    let bound: Int
    private(set) var kept: [[Int32]] = []
    private(set) var tokens = 0

    init(bound: Int) { self.bound = bound }

    mutating func insert(_ call: [[Int32]]) {
      let added = call.reduce(0) { $0 + $1.count }
      if tokens + added > bound + bound / 8 {
        while tokens + added > bound { tokens -= kept.removeFirst().count }
      }
      kept += call
      tokens += added
    }
  }

  /// The size of a file in bytes: the used space on the disk, and the length.
  private static func size(of file: String) throws -> (used: Int, long: Int) {
    var status = stat()
    guard unsafe stat(file, &status) == 0 else { throw ToolError("cannot look at \(file)") }
    return (Int(status.st_blocks) * 512, Int(status.st_size))
  }
}
