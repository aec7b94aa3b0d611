import TestSupport

/// Tests in which the system refuses calls of the service: the caller gets an error of the right
/// kind, the service continues or says in a sentence why it does not start, and no acknowledged
/// data is lost.
struct FaultTests {
  let bench: Bench

  /// Each scenario once.
  static let pointsMin = Scenario.allCases.count

  private enum Scenario: Int, CaseIterable {
    /// The disk is full from the N-th write on, and has room again later.
    case diskFull
    /// One write, or one synchronisation, fails.
    case writeFails
    case syncFails
    /// The service starts on a store whose N-th write or synchronisation fails.
    case startFails
    /// The map is full, and is enlarged step by step.
    case mapFull
    /// Connections take all descriptors.
    case noDescriptors
    /// Few descriptors from the start.
    case fewDescriptors
    /// Nothing can be opened for writing, from the start or from some moment on.
    case readOnlyStart
    case readOnly
    /// A file system of a few megabytes, if one can be mounted.
    case smallDisk
  }

  func run(points: Int) throws {
    bench.report.begin(.faults)
    defer { bench.report.end(.faults) }
    for point in 0..<points {
      try run(Scenario.allCases[point % Scenario.allCases.count], point)
    }
  }

  func replay(scenario: Int, point: Int) throws {
    guard let scenario = Scenario(rawValue: scenario) else {
      throw ToolError("there is no scenario \(scenario)")
    }
    try run(scenario, point)
  }

  private func run(_ scenario: Scenario, _ point: Int) throws {
    let seed = bench.seed(.faults, scenario.rawValue, point)
    var trial = try FaultTrial(
      Site(
        bench, "faults-\(scenario.rawValue)", LoadSetting(), program: bench.released), seed: seed)
    do {
      switch scenario {
      case .diskFull: try trial.diskFull()
      case .writeFails: try trial.fails("EIO@writes")
      case .syncFails: try trial.fails("EIO@syncs")
      case .startFails: try trial.startFails()
      case .mapFull: try trial.mapFull()
      case .noDescriptors: try trial.noDescriptors()
      case .fewDescriptors: try trial.fewDescriptors()
      case .readOnlyStart: try trial.readOnlyStart()
      case .readOnly: try trial.readOnly()
      case .smallDisk:
        guard try trial.smallDisk() else {
          if point < Scenario.allCases.count {
            bench.report.say("no small disk: mounting a tmpfs takes root")
          }
          return
        }
      }
    } catch let error as ToolError {
      trial.failures.append(error.description)
    }
    trial.end()
    let name = "\(bench.seed):faults:\(scenario.rawValue):\(point)"
    var kept: String?
    if !trial.failures.isEmpty {
      trial.failures.append("scenario \(scenario)")
      kept = try trial.site.keep(as: name)
    }
    trial.cleanUp()
    bench.report.note("\(scenario): points")
    for (refusal, count) in trial.refusals {
      for _ in 0..<count { bench.report.note("\(scenario): \(refusal.split(separator: " ")[0])") }
    }
    bench.report.add(
      .faults, replay: name, acknowledged: trial.acknowledged, drafts: trial.compared,
      failures: trial.failures, kept: kept)
  }
}
