import ArgumentParser
import Foundation
import TestSupport

@main
struct RepriseCrash: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "reprise-crash",
    abstract: "Crash the service and deny it resources, and check the store that remains.",
    discussion: "Use tools/crash, which builds what is needed.")

  @Option(help: "A build of reprise with crash points.") var reprise: String
  @Option(help: "A release build of reprise, for refusals of the system.")
  var released: String
  @Option(help: "The library that is loaded between the service and its files.") var faults: String
  @Option(help: "Directory for stores.") var work: String
  @Option(help: "Directory in which failed cases are kept.") var failed: String
  @Option(help: "Points in all.") var points = 1000
  @Option(help: "Seed of everything random.") var seed: UInt64 = Effort.seed
  @Option(help: "Only kill, replay or faults.") var only: String?
  @Option(help: "One point again, as a failure names it.") var replay: String?

  func validate() throws {
    if let only, Kind(rawValue: only) == nil {
      throw ValidationError("--only is \"\(only)\", expected kill, replay or faults")
    }
    if points < 1 { throw ValidationError("--points is \(points), expected at least 1") }
    if replay != nil && parsedReplay == nil {
      throw ValidationError("--replay is not what a failure printed: SEED:KIND:NUMBER:NUMBER")
    }
  }

  private var parsedReplay: (seed: UInt64, kind: Kind, group: Int, point: Int)? {
    let words = replay?.split(separator: ":").map(String.init) ?? []
    guard words.count == 4, let seed = UInt64(words[0]), let kind = Kind(rawValue: words[1]),
      let group = Int(words[2]), let point = Int(words[3]), group >= 0, point >= 0
    else { return nil }
    return (seed, kind, group, point)
  }

  func run() throws {
    let again = parsedReplay
    let seed = again?.seed ?? seed
    let report = Report(seed: seed, pointsWanted: again == nil ? points : 1)
    let bench = Bench(
      reprise: reprise, released: released, faults: faults, work: work, failed: failed, seed: seed,
      report: report)
    if let again {
      switch again.kind {
      case .kill: try KillTests(bench: bench).run(store: again.group, rounds: again.point + 1)
      case .replay:
        try ReplayTests(bench: bench).replay(recording: again.group, point: again.point)
      case .faults: try FaultTests(bench: bench).replay(scenario: again.group, point: again.point)
      }
    } else {
      for (kind, share) in shares { try run(kind, max(1, points * share / 100), bench) }
    }
    report.printTable()
    if report.failures > 0 { throw ExitCode.failure }
  }

  /// Percentages of all points: states of a disk cost milliseconds, the others a service each.
  private var shares: [(Kind, Int)] {
    if let only, let kind = Kind(rawValue: only) { return [(kind, 100)] }
    return [(.replay, 75), (.kill, 15), (.faults, 10)]
  }

  private func run(_ kind: Kind, _ points: Int, _ bench: Bench) throws {
    switch kind {
    case .kill: try KillTests(bench: bench).run(points: points)
    case .replay: try ReplayTests(bench: bench).run(points: points)
    case .faults: try FaultTests(bench: bench).run(points: max(points, FaultTests.pointsMin))
    }
  }
}
