import Foundation
import TestSupport

/// From exec to the first draft, over the whole large trace.
struct StartBenchmark {
  private let setting: Setting
  private static let rounds = 5

  init(_ setting: Setting) { self.setting = setting }

  func run(_ report: inout Report) throws {
    try setting.require(setting.wholeStore, of: "load")
    report.begin("Start over the whole large trace")
    let socket = "\(setting.work)/s"
    let line =
      [UInt8](
        #"{"jsonrpc":"2.0","id":1,"method":"speculate","params":{"corpus":"large","context":[1376,1462,1051]}}"#
          .utf8) + [10]
    var fromExec: [Double] = []
    var fromAccept: [Double] = []
    for _ in 0..<Self.rounds {
      unsafe unlink(socket)
      let start = nanoseconds()
      let service = try ServiceProcess(
        setting.reprise,
        [
          "serve", "--store", setting.wholeStore, "--socket", socket, "--log-level", "warning",
        ])
      guard try service.isServing(socket) else { throw ToolError("the service did not start") }
      let accepted = nanoseconds()
      let answer = try LineConnection(socket).ask(line)
      let end = nanoseconds()
      guard answer.contains("\"tokens\":[") else { throw ToolError("no draft: \(answer)") }
      fromExec.append(Double(end - start) / 1e6)
      fromAccept.append(Double(end - accepted) / 1e6)
      service.stop()
    }
    report.add("exec to the first draft", median(fromExec), "ms", .atMost(500))
    report.add("exec to the first draft: largest", fromExec.max() ?? 0, "ms", .atMost(500))
    report.add("first accept to the first draft", median(fromAccept), "ms", .atMost(50))
  }
}
