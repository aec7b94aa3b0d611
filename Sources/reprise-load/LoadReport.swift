import Foundation
import TestSupport
import ToolSupport
import WireProtocol

/// The report at the end, for people and for programs.
struct LoadReport {
  let monitor: Monitor
  let journal: Journal
  let workers: Int
  let seed: UInt64

  private var counts: Tally.Counts { monitor.counts }
  private var duration: Double { monitor.seconds.last?.seconds ?? 0 }

  private static let quantiles = [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)]

  var memory: Monitor.Trend? { monitor.trend(\.residentBytes) }
  private var anonymous: Monitor.Trend? { monitor.trend(\.anonymousBytes) }
  var isGood: Bool {
    journal.failures == 0 && memory?.isFlat != false && anonymous?.isFlat != false
  }

  func print() {
    func row(_ name: String, _ value: String) {
      Swift.print(
        "  " + name.padding(toLength: max(44, name.count), withPad: " ", startingAt: 0) + value)
    }
    Swift.print("\(workers) workers, \(significant(duration)) s, seed \(seed)")
    Swift.print("requests")
    for method in Method.allCases where counts.requests[method.rawValue] > 0 {
      row(method.name, "\(counts.requests[method.rawValue])")
    }
    Swift.print("steps")
    row("sessions stepped a second", significant(Double(counts.sessionSteps) / max(1, duration)))
    for (name, fraction) in Self.quantiles {
      row("a line of them, \(name), ms", significant(counts.steps.quantile(fraction) / 1000))
    }
    Swift.print("answers")
    row("drafts equal to the oracle's in all", "\(counts.draftsExact)")
    row("drafts held to what any draft must be", "\(counts.draftsStructural)")
    row("sequences acknowledged", "\(counts.sequencesAcknowledged)")
    row("sequences found again", "\(counts.sequencesFoundAgain)")
    row("connections that had to be ended, and were", "\(counts.connectionsCut)")
    for (kind, count) in counts.errorsExpected.sorted(by: { $0.key < $1.key }) {
      row("errors as expected, \(kind)", "\(count)")
    }
    row("wrong", "\(journal.failures)")
    Swift.print("processor, of \(sysconf(Int32(_SC_NPROCESSORS_ONLN))) cores")
    row("the service", significant(monitor.serviceCPU / max(1, duration)))
    row("this program", significant(monitor.ownCPU / max(1, duration)))
    row(
      "  of it the oracle", significant(Double(counts.oracleNanoseconds) / 1e9 / max(1, duration)))
    Swift.print("memory of the service")
    for (name, bytes) in memories {
      let all = monitor.seconds.map { bytes($0.sample) }.sorted()
      if all.isEmpty { continue }
      row("\(name), median, MB", significant(Double(all[all.count / 2]) / 1e6))
      row("\(name), most, MB", significant(Double(all[all.count - 1]) / 1e6))
    }
    guard let memory, let anonymous else {
      return row("flat after warming up", "not told of less than five minutes")
    }
    for (name, trend) in [("all", memory), ("without mapped files", anonymous)] {
      row(
        "\(name), last quarter to second, times",
        "\(String(format: "%.3f", trend.growth))  \(trend.isFlat ? "flat" : "NOT FLAT")")
    }
  }

  private var memories: [(String, (ProcessSample) -> Int)] {
    [("all", \.residentBytes), ("without mapped files", \.anonymousBytes)]
  }

  func json() -> String {
    var writer = JSONWriter()
    writer.beginObject()
    func number(_ name: String, _ value: Double) {
      writer.name(of: name)
      writer.number(value)
    }
    number("workers", Double(workers))
    number("seconds", duration)
    number("seed", Double(seed))
    writer.name("requests")
    writer.beginObject()
    for method in Method.allCases {
      writer.name(of: method.name)
      writer.integer(counts.requests[method.rawValue])
    }
    writer.endObject()
    number("session_steps", Double(counts.sessionSteps))
    for (name, fraction) in Self.quantiles {
      number("step_line_\(name)_ms", counts.steps.quantile(fraction) / 1000)
    }
    number("drafts_exact", Double(counts.draftsExact))
    number("drafts_structural", Double(counts.draftsStructural))
    number("sequences_acknowledged", Double(counts.sequencesAcknowledged))
    number("sequences_found_again", Double(counts.sequencesFoundAgain))
    number("connections_cut", Double(counts.connectionsCut))
    writer.name("errors_expected")
    writer.beginObject()
    for (kind, count) in counts.errorsExpected.sorted(by: { $0.key < $1.key }) {
      writer.name(of: kind)
      writer.integer(count)
    }
    writer.endObject()
    number("wrong", Double(journal.failures))
    number("service_cores", monitor.serviceCPU / max(1, duration))
    number("load_cores", monitor.ownCPU / max(1, duration))
    number("oracle_cores", Double(counts.oracleNanoseconds) / 1e9 / max(1, duration))
    number("resident_growth", memory?.growth ?? 0)
    number("anonymous_growth", anonymous?.growth ?? 0)
    writer.name("is_good")
    writer.bool(isGood)
    writer.endObject()
    return String(decoding: writer.bytes, as: UTF8.self)
  }
}
