import ArgumentParser
import Foundation
import TestSupport

@main
struct RepriseBench: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "reprise-bench",
    abstract: "Measure all figures of docs/reports/benchmarks.md.",
    subcommands: [
      Run.self, Echo.self, Exchange.self, Frontier.self, BatchFrontier.self, ModelledTime.self,
    ],
    defaultSubcommand: Run.self)
}

struct Run: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Run the benchmarks and print each figure beside its target.",
    discussion: "Use tools/bench, which builds, unpacks the traces and compiles the yardsticks.")

  @Option(help: "The reprise binary to measure.") var reprise: String
  @Option(help: "Directory of unpacked traces, NAME.jsonl.") var traces: String
  @Option(help: "The large trace; without it, benchmarks of millions of tokens are left out.")
  var large: String?
  @Option(help: "The last records of the large trace, kept out of it.") var heldBack: String?
  @Option(help: "Directory of the compiled yardsticks and their NAME.bin.") var yardstick: String?
  @Option(help: "Directory for stores.") var work: String
  @Option(help: "The measured commit.") var commit = "unknown"
  @Option(help: "Write the figures here, as JSON.") var json: String?
  @Option(help: "Draw history.svg and retention.svg, and write hostile.md, in this directory.")
  var plots: String?
  @Option(help: "Of hostile clients, only those whose names contain this; may be repeated.")
  var client: [String] = []
  @Option(help: "Only benchmarks whose names begin with this; may be repeated.")
  var only: [String] = []

  func run() async throws {
    let setting = Setting(
      reprise: reprise, traces: traces, large: large, heldBack: heldBack,
      yardstick: yardstick, work: work)
    var report = Report()
    var (history, retention) = (HistoryPlot(), RetentionPlot())
    func wanted(_ name: String) -> Bool { only.isEmpty || only.contains { name.hasPrefix($0) } }

    if wanted("index") { try IndexBenchmark(setting).run(&report) }
    if wanted("prompts") { try PromptBenchmark(setting).run(&report) }
    if setting.large != nil {
      if wanted("load") { try LoadBenchmark(setting).run(&report) }
      if wanted("drafts") { try DraftBenchmark(setting).run(&report, &history) }
      if wanted("merging") { try MergingBenchmark(setting).run(&report) }
      if wanted("socket") { try await SocketBenchmark(setting).run(&report) }
      if wanted("start") { try StartBenchmark(setting).run(&report) }
      if wanted("snapshots") { try await SnapshotBenchmark(setting).run(&report) }
      if wanted("retention") { try await RetentionBenchmark(setting).run(&report, &retention) }
    }
    var hostile: String?
    if wanted("hostile") { hostile = try HostileBenchmark(setting, clients: client).run(&report) }
    if wanted("allocations") { try AllocationBenchmark(setting).run(&report) }

    if let json {
      let machine = [
        "commit": commit, "cores": "\(ProcessInfo.processInfo.activeProcessorCount)",
        "cpu": Self.processor, "date": ISO8601DateFormatter().string(from: Date()),
        "memory_gib": "\(ProcessInfo.processInfo.physicalMemory >> 30)",
      ]
      try Data(report.json(machine: machine)).write(to: URL(fileURLWithPath: json))
    }
    if let plots {
      func write(_ text: String, _ name: String) throws {
        try Data(text.utf8).write(to: URL(fileURLWithPath: "\(plots)/\(name)"))
      }
      if !history.isEmpty { try write(history.svg(), "history.svg") }
      if !retention.isEmpty { try write(retention.svg(), "retention.svg") }
      if let hostile { try write(hostile, "hostile.md") }
    }
  }

  private static var processor: String {
    let lines = (try? String(contentsOfFile: "/proc/cpuinfo", encoding: .utf8)) ?? ""
    let line = lines.split(separator: "\n").first { $0.hasPrefix("model name") } ?? ""
    return line.split(separator: ":").last.map { $0.trimmingCharacters(in: .whitespaces) } ?? ""
  }
}

/// The places of programs, traces and stores.
struct Setting {
  let reprise: String
  let traces: String
  let large: String?
  let heldBack: String?
  let yardstick: String?
  let work: String

  /// Names of the traces, without the large one.
  var traceNames: [String] {
    let files = (try? FileManager.default.contentsOfDirectory(atPath: traces)) ?? []
    return files.filter { $0.hasSuffix(".jsonl") }.map { String($0.dropLast(6)) }.sorted()
  }

  func records(_ name: String) throws -> [Record] { try readTrace("\(traces)/\(name).jsonl") }

  /// Outputs of a trace that come after `tokens` tokens of it, with up to `count` tokens.
  func outputs(of trace: String, after tokens: Int, tokens count: Int) throws -> [[Int32]] {
    var seen = 0
    return try readTrace(trace, tokensMax: tokens + count).map(\.output).filter { output in
      seen += output.count
      return seen > tokens && !output.isEmpty
    }
  }

  /// Sizes of history for measuring drafts; the last one is the whole large trace.
  static let historySizes = [100_000, 300_000, 1_000_000, 3_000_000, 10_000_000]

  /// An empty directory for a benchmark's store.
  func emptyStore(_ name: String) throws -> String {
    let path = "\(work)/\(name)"
    if FileManager.default.fileExists(atPath: path) {
      try FileManager.default.removeItem(atPath: path)
    }
    return path
  }

  /// The store of the whole large trace, which the load benchmark leaves.
  var wholeStore: String { "\(work)/whole" }
  /// The store of its first ten million tokens, which the draft benchmark leaves.
  var tenMillionStore: String { "\(work)/history-10000000" }

  func require(_ store: String, of benchmark: String) throws {
    if !FileManager.default.fileExists(atPath: store) {
      throw ToolError("\(store) is missing: run the benchmark \"\(benchmark)\" as well")
    }
  }
}

/// The median of several rounds.
func median(_ values: [Double]) -> Double { values.sorted()[values.count / 2] }
