import Foundation
import RepriseModel
import TestSupport
import ToolSupport
import WireProtocol

/// The delay of drafts by merging: steps of one session during the merging of a corpus that was
/// just loaded, and after it.
struct MergingBenchmark {
  private let setting: Setting

  init(_ setting: Setting) { self.setting = setting }

  func run(_ report: inout Report) throws {
    guard let large = setting.large else { return }
    report.begin(
      "Drafts during merging: one session's steps through the socket, as fast as they go")
    let store = try setting.emptyStore("merging")
    // A fifth of the trace: merges of some seconds.
    let part = "\(setting.work)/part.jsonl"
    let lines = try readTrace(large, tokensMax: 18_000_000)
    try Self.write(lines, to: part)
    let insert = try ServiceProcess(
      setting.reprise, ["insert", "--store", store, "--corpus", "large", "--create", part])
    try insert.waitForSuccess()
    let socket = "\(setting.work)/s"
    let service = try ServiceProcess.serving(
      setting.reprise, ["serve", "--store", store, "--socket", socket, "--log-level", "warning"],
      socket: socket)
    defer { service.stop() }
    let connection = try LineConnection(socket)
    connection.exchange(
      requestLine(
        .sessionOpen(SessionOpen(corpus: "large", session: "a", prompt: [], share: .never))))
    let steps = lines.prefix(200).flatMap { record in
      stride(from: 0, to: record.output.count - 3, by: 3).map { start in
        var step = SessionStep()
        step.append(session: "a", accept: Array(record.output[start..<(start + 3)]))
        return requestLine(.sessionStep(step))
      }
    }
    var (merging, quiet) = (Latencies(), Latencies())
    var number = 0
    func run(into times: inout Latencies, millis: Int) -> Double {
      let before = service.cpuSeconds(threads: ["reprise-merging"])
      let end = nanoseconds() + millis * 1_000_000
      while nanoseconds() < end {
        times.add(connection.exchange(steps[number % steps.count]).nanoseconds)
        number += 1
      }
      return service.cpuSeconds(threads: ["reprise-merging"]) - before
    }
    // Until merging is complete.
    var idle = 0
    while idle < 3 { idle = run(into: &merging, millis: 500) == 0 ? idle + 1 : 0 }
    _ = run(into: &quiet, millis: 5000)
    for (times, when) in [(merging, "during merging"), (quiet, "after it")] {
      report.add("\(when): steps", Double(times.count), "")
      report.add("\(when): p50", times.quantile(0.5) / 1000, "ms")
      report.add("\(when): p99", times.quantile(0.99) / 1000, "ms")
      report.add("\(when): p99.9", times.quantile(0.999) / 1000, "ms")
      report.add("\(when): largest", times.quantile(1) / 1000, "ms")
    }
    report.add(
      "later because of merging, at p99.9",
      (merging.quantile(0.999) - quiet.quantile(0.999)) / 1000, "ms", .atMost(2))
    report.add(
      "later because of merging, at the largest",
      (merging.quantile(1) - quiet.quantile(1)) / 1000, "ms", .atMost(2))
  }

  private static func write(_ records: [Record], to path: String) throws {
    var writer = JSONWriter()
    for record in records {
      writer.beginObject()
      writer.name("tokens")
      writer.integers(record.output)
      writer.endObject()
      writer.endLine()
    }
    try Data(writer.bytes).write(to: URL(fileURLWithPath: path))
  }
}
