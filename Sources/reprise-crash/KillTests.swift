import CorpusFormat
import CorpusStore
import Foundation
import TestSupport
import ToolSupport

/// The service is killed at a random moment, or at a crash point, repeatedly over one store. Crash
/// points that were not reached are aimed at in the end, each in a store of its own.
struct KillTests {
  let bench: Bench

  private static let roundsPerStore = 12
  /// When the crash point was not reached by this number of answers, the service is killed
  /// anywhere.
  private static let answersMax = 400
  /// Stores from this number on are aimed at one crash point each, with `triesMax` attempts.
  private static let firstAimedStore = 1_000_000
  private static let triesMax = 5
  private static let answersMaxAimed = 4000

  func run(points: Int) throws {
    bench.report.begin(.kill)
    defer { bench.report.end(.kill) }
    var (done, store) = (0, 0)
    while done < points {
      done += try run(store: store, rounds: min(Self.roundsPerStore, points - done))
      store += 1
    }
    for (number, place) in CrashPoint.allCases.enumerated() {
      let first = Self.firstAimedStore + number * Self.triesMax
      for store in first..<(first + Self.triesMax) where !isReached(place) {
        try run(store: store, rounds: 1)
      }
      if !isReached(place) {
        bench.report.add(
          .kill, replay: "\(bench.seed):kill:\(first):0", acknowledged: 0, drafts: 0,
          failures: ["the place \(place.rawValue) was not reached in \(Self.triesMax) stores"])
      }
    }
  }

  private func note(of place: CrashPoint) -> String { "killed at \(place.rawValue)" }
  private func isReached(_ place: CrashPoint) -> Bool {
    bench.report.count(of: note(of: place)) > 0
  }

  /// - Returns: The number of rounds that were run; after a failure the store is abandoned.
  @discardableResult
  func run(store: Int, rounds: Int) throws -> Int {
    var setting = LoadSetting()
    var generator = SeededGenerator(seed: bench.seed(.kill, store))
    setting.sealTokens = [100, 400, 1000].randomElement(using: &generator)!
    let site = try Site(bench, "kill-\(store)", setting, program: bench.reprise)
    var drafts = DraftComparison(depth: setting.depth, seed: generator.next())
    var base = Expectation()
    let aim = store < Self.firstAimedStore ? nil : (store - Self.firstAimedStore) / Self.triesMax
    for round in 0..<rounds {
      let seed = bench.seed(.kill, store, round)
      let (failures, found, judge) = try self.round(
        site, base, isFirst: round == 0, aim: aim.map { CrashPoint.allCases[$0] }, seed, &drafts)
      let name = "\(bench.seed):kill:\(store):\(round)"
      var kept: String?
      if !failures.isEmpty {
        kept = try site.keep(as: name)
      }
      bench.report.add(
        .kill, replay: name, acknowledged: judge.acknowledged(), drafts: drafts.compared,
        failures: failures, kept: kept)
      drafts.compared = 0
      guard failures.isEmpty, let found else { return round + 1 }
      base = judge.base(from: found)
    }
    return rounds
  }

  private func round(
    _ site: Site, _ base: Expectation, isFirst: Bool, aim: CrashPoint?, _ seed: UInt64,
    _ drafts: inout DraftComparison
  ) throws -> (failures: [String], found: Inspection?, judge: Judge) {
    var generator = SeededGenerator(seed: seed)
    var environment: [String: String] = [:]
    var answers = Int.random(in: 1...120, using: &generator)
    var place: CrashPoint?
    if let aim {
      place = aim
      environment["REPRISE_CRASH_AT"] = "\(aim.rawValue):1"
      answers = Self.answersMaxAimed
    } else if Bool.random(using: &generator) {
      let chosen = CrashPoint.allCases.randomElement(using: &generator)!
      place = chosen
      let count = chosen == .commitBefore || chosen == .commitAfter ? 200 : 6
      environment["REPRISE_CRASH_AT"] =
        "\(chosen.rawValue):\(Int.random(in: 1...count, using: &generator))"
      answers = Self.answersMax
    }
    site.ledger.beginRound()
    let load = site.load(seed: generator.next())
    let judge: () -> Judge = {
      Judge(setting: site.setting, record: site.ledger.record, base: base)
    }
    let isUp = try site.start(environment: environment)
    guard let process = site.process else { throw ToolError("no process") }
    site.ledger.whenAnswered { [answers, identifier = process.identifier] count in
      if count == answers { kill(identifier, SIGKILL) }
    }
    var failures: [String] = []
    if isUp {
      if !isFirst || load.prepare() { load.run(over: base) }
    } else if place == nil {
      failures.append("the service did not start: \(site.lastWords)")
    }
    // When the connections have ended, the service has ended, or is about to.
    guard let status = process.wait(secondsMax: 30) else {
      process.signal(SIGKILL)
      process.wait()
      return (["the service hung up and went on"], nil, judge())
    }
    if status != -SIGKILL {
      failures.append("the service ended by itself with \(status): \(site.lastWords)")
    }
    if let place, site.ledger.answersSoFar < answers {
      bench.report.note(note(of: place))
    }
    let result = judge()
    let seen = site.judge(result, crashed: site.ledger.lastAnswer, &drafts)
    failures += site.ledger.complaintsSoFar + seen.failures
    return (failures, seen.found, result)
  }
}
