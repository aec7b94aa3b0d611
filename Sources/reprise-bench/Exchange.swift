import ArgumentParser
import Foundation
import TestSupport
import ToolSupport

/// The client end of the comparison of drafts with echoes, as a process of its own so that it can
/// be bound to one core.
struct Exchange: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Exchange lines with two services by turns and print the p50 and p99 of both.",
    shouldDisplay: false)

  @Option var first: String
  @Option var second: String
  @Option var lines: String
  @Option var rounds: Int

  func run() throws {
    let (first, second) = (try LineConnection(first), try LineConnection(second))
    let lines = try Data(contentsOf: URL(fileURLWithPath: lines))
      .split(separator: 10).map { [UInt8]($0) + [10] }
    var times = (Latencies(), Latencies())
    for round in 0...rounds {
      for line in lines {
        let one = first.exchange(line).nanoseconds
        let other = second.exchange(line).nanoseconds
        // The first round warms up both.
        if round == 0 { continue }
        times.0.add(one)
        times.1.add(other)
      }
    }
    for sample in [times.0, times.1] {
      print(sample.quantile(0.5), sample.quantile(0.99))
    }
  }
}
