import CorpusStore
import Foundation
import RepriseModel
import TestSupport

/// Loads the large trace from a file into a store, and merges to the end, as an operator would.
struct LoadBenchmark {
  private let setting: Setting

  /// The most memory in MiB for a load of any size, before the merging that follows.
  private static let memoryMax = 1024.0

  init(_ setting: Setting) { self.setting = setting }

  func run(_ report: inout Report) throws {
    guard let large = setting.large else { return }
    report.begin("Bulk load of the large trace: reprise insert, then merging to the end")
    let store = setting.wholeStore
    _ = try setting.emptyStore("whole")
    let compacting = ["reprise-sealing", "reprise-merging"]

    // A load in one go, with the sealing and merging that it waits for.
    var load = Consumption()
    let start = nanoseconds()
    let insert = try ServiceProcess(
      setting.reprise, ["insert", "--store", store, "--corpus", "large", "--create", large])
    while !insert.hasEnded {
      load.sample(insert, compacting)
      usleep(50_000)
    }
    try insert.waitForSuccess()
    let seconds = Double(nanoseconds() - start) / 1e9
    let tokens = try self.tokens(store)
    report.add("tokens", Double(tokens) / 1e6, "million")
    report.add("end to end", Double(tokens) / seconds, "tokens a second", .atLeast(400_000))
    report.add(
      "largest memory", Double(load.anonymousBytes) / 1_048_576, "MiB", .atMost(Self.memoryMax))

    // A service does the remaining merging. Its largest merge determines the memory that it needs.
    var merging = Consumption()
    let socket = "\(setting.work)/s"
    let service = try ServiceProcess.serving(
      setting.reprise, ["serve", "--store", store, "--socket", socket, "--log-level", "warning"],
      socket: socket)
    let before = service.anonymousBytes
    var idle = 0
    var last = -1.0
    while idle < 30 {
      merging.sample(service, compacting)
      let cpu = service.cpuSeconds()
      idle = cpu - last < 0.05 ? idle + 1 : 0
      last = cpu
      usleep(100_000)
    }
    service.stop()
    let micros = (load.cpuSeconds + merging.cpuSeconds) / Double(tokens) * 1e6
    report.add("sealing and merging, over a token's life", micros, "µs of CPU a token", .atMost(2))
    let merged = try largestSegment(store)
    report.add("largest merge", Double(merged) / 1e6, "million tokens")
    report.add(
      "largest merge: memory", Double(merging.anonymousBytes - before) / Double(merged),
      "B a token", .atMost(40))
  }

  private struct Consumption {
    var anonymousBytes = 0
    var cpuSeconds = 0.0

    mutating func sample(_ process: ServiceProcess, _ threads: [String]) {
      anonymousBytes = max(anonymousBytes, process.anonymousBytes)
      cpuSeconds = max(cpuSeconds, process.cpuSeconds(threads: threads))
    }
  }

  private func tokens(_ path: String) throws -> Int {
    try withCorpus(path) { $0.stats().tokens }
  }

  private func largestSegment(_ path: String) throws -> Int {
    try withCorpus(path) { $0.segmentTokens.max() ?? 0 }
  }

  private func withCorpus<Result>(_ path: String, _ body: (Corpus) throws -> Result) throws
    -> Result
  {
    var options = StoreOptions()
    options.compactsInBackground = false
    let store = try Store(path: path, options: options)
    defer { store.close() }
    guard let corpus = try store.corpus(named: "large") else { throw ToolError("no corpus") }
    return try body(corpus)
  }
}
