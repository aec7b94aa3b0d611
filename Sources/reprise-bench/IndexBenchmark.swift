import Foundation
import RepriseModel
import SuffixIndex
import TestSupport
import ToolSupport

/// The costs of the two indexes on each trace: bytes, and time to add, beside the yardsticks.
struct IndexBenchmark {
  private let setting: Setting
  private static let depth = 64
  private static let rounds = 3

  init(_ setting: Setting) { self.setting = setting }

  func run(_ report: inout Report) throws {
    report.begin("Indexes: all responses of each trace")
    for name in setting.traceNames {
      let outputs = try setting.records(name).map(\.output)
      let tokens = outputs.reduce(0) { $0 + $1.count }
      report.add("\(name): tokens", Double(tokens), "")
      seal(outputs, tokens, name, &report)
      try grow(outputs, tokens, name, &report)
    }
  }

  private func seal(
    _ outputs: [[Int32]], _ tokens: Int, _ name: String, _ report: inout Report
  ) {
    var times: [Double] = []
    var bytes = 0
    for _ in 0..<Self.rounds {
      let start = threadNanoseconds()
      var builder = SealedIndexBuilder(
        depth: Self.depth, tokensExpected: tokens + outputs.count)
      for output in outputs { builder.append(output.span) }
      bytes = builder.build().byteCount
      times.append(Double(threadNanoseconds() - start))
    }
    report.add("\(name): sealed", Double(bytes) / Double(tokens), "B a token", .atMost(20))
    report.add("\(name): sealing", median(times) / Double(tokens) / 1000, "µs a token")
  }

  private func grow(
    _ outputs: [[Int32]], _ tokens: Int, _ name: String, _ report: inout Report
  ) throws {
    var times: [Double] = []
    var bytes = 0
    var yardsticks: [Double] = []
    for _ in 0..<Self.rounds {
      let start = nanoseconds()
      let index = GrowingIndex(depth: Self.depth, tokensExpected: tokens)
      for output in outputs {
        var tail = GrowingIndex.Tail()
        index.extend(&tail, by: output.span)
      }
      times.append(Double(nanoseconds() - start) / Double(tokens) / 1000)
      bytes = index.bytes
      // Rounds of both alternate, so that a slow moment of the machine affects both.
      if let yardstick = try yardstickMicros(name, records: outputs.count) {
        yardsticks.append(yardstick)
      }
    }
    report.add(
      "\(name): growing", Double(bytes) / Double(tokens), "B a token",
      tokens >= 300_000 ? .atMost(80) : .none)
    report.add("\(name): adding", median(times), "µs a token")
    if !yardsticks.isEmpty {
      report.add(
        "\(name): adding, to the yardstick's \(significant(median(yardsticks))) µs",
        median(times) / median(yardsticks), "times", .atMost(1.5))
    }
  }

  /// The time that the yardstick takes to add a token.
  private func yardstickMicros(_ name: String, records: Int) throws -> Double? {
    guard let directory = setting.yardstick else { return nil }
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "\(directory)/growing")
    process.arguments = ["\(directory)/\(name).bin", "\(records)"]
    let output = Pipe()
    process.standardOutput = output
    try process.run()
    let text = String(
      decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    // "insert N tok X us/tok, …"
    let words = text.split(separator: " ")
    guard let place = words.firstIndex(of: "tok"), place + 1 < words.count else { return nil }
    return Double(words[place + 1])
  }
}
