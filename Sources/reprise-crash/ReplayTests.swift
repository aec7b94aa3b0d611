import Foundation
import TestSupport

/// One run of the service is recorded; then states that a power failure may leave are rebuilt and
/// inspected, many for each recording.
struct ReplayTests {
  let bench: Bench

  private static let pointsPerRecording = 150

  func run(points: Int) throws {
    bench.report.begin(.replay)
    defer { bench.report.end(.replay) }
    var (done, number) = (0, 0)
    while done < points {
      let count = min(Self.pointsPerRecording, points - done)
      try run(recording: number, points: Array(0..<count))
      done += count
      number += 1
    }
  }

  /// Inspects one point again, in the kept recording if there is one.
  func replay(recording number: Int, point: Int) throws {
    try run(recording: number, points: [point], keptFirst: true)
  }

  private func name(_ number: Int) -> String { "\(bench.seed)-replay-\(number)" }

  private func run(recording number: Int, points: [Int], keptFirst: Bool = false) throws {
    let site = try Site(bench, "replay-\(number)", LoadSetting(), program: bench.reprise)
    let kept = "\(bench.failed)/\(name(number))"
    let notes: Site.Notes
    if keptFirst, FileManager.default.fileExists(atPath: "\(kept)/notes.json") {
      try FileManager.default.copyItem(atPath: "\(kept)/recording", toPath: site.recording)
      notes = try JSONDecoder().decode(
        Site.Notes.self, from: Data(contentsOf: URL(fileURLWithPath: "\(kept)/notes.json")))
      bench.report.say("looking at \(kept)")
    } else {
      notes = try record(site, number)
      try site.write(notes)
    }
    let recording = try Recording(site.recording)
    let places = places(in: recording, number)
    let disk = DiskModel(recording)
    var drafts = DraftComparison(depth: notes.setting.depth, seed: bench.seed(.replay, number, -1))
    let judge = Judge(setting: notes.setting, record: notes.record, base: Expectation())
    for point in points.sorted(by: { places[$0] < places[$1] }) {
      let position = places[point]
      try disk.advance(to: position)
      let state = try bench.emptyDirectory("state")
      var generator = SeededGenerator(seed: bench.seed(.replay, number, point, 1))
      let manner = DiskModel.Manner.allCases.randomElement(using: &generator)!
      try disk.leave(at: state, manner, &generator)
      let crashed = position > 0 ? recording.changes[position - 1].nanoseconds : 0
      var failures = site.judge(
        judge, at: state, position: position, crashed: crashed, &drafts
      ).failures
      var place: String?
      if !failures.isEmpty {
        let last = position > 0 ? "\(recording.changes[position - 1].kind)" : "nothing"
        failures.append("after change \(position), \(last); of what is not synchronised, \(manner)")
        place = bench.keep(site.directory, as: name(number))
      }
      bench.report.add(
        .replay, replay: "\(bench.seed):replay:\(number):\(point)",
        acknowledged: judge.acknowledged(position: position), drafts: drafts.compared,
        failures: failures, kept: place)
      drafts.compared = 0
    }
  }

  private func record(_ site: Site, _ number: Int) throws -> Site.Notes {
    var generator = SeededGenerator(seed: bench.seed(.replay, number))
    let answers = Int.random(in: 100...500, using: &generator)
    site.ledger.setPosition { [control = site.control] in control.recorded }
    let load = site.load(seed: generator.next())
    guard
      try site.start(environment: ["REPRISE_RECORD": site.recording], watching: true)
    else { throw ToolError("the service did not start: \(site.lastWords)") }
    guard let process = site.process else { throw ToolError("no process") }
    let isKilled = Bool.random(using: &generator)
    site.ledger.whenAnswered { [identifier = process.identifier] count in
      guard count == answers else { return }
      if isKilled { kill(identifier, SIGKILL) }
      load.stop()
    }
    if load.prepare() { load.run(over: Expectation()) }
    if isKilled {
      process.wait()
    } else if let failure = site.stop() {
      throw ToolError(failure)
    }
    if let complaint = site.ledger.complaintsSoFar.first { throw ToolError(complaint) }
    let recording = try Recording(site.recording)
    let disk = DiskModel(recording)
    try disk.advance(to: recording.changes.count)
    // A process that is killed may have made a change that it had no time to record.
    if !isKilled { try disk.verify(equals: site.store) }
    return Site.Notes(setting: site.setting, record: site.ledger.record)
  }

  /// The places of the recording at which power is lost: half of them anywhere, half of them at or
  /// shortly after changes that make data durable or change a name.
  private func places(in recording: Recording, _ number: Int) -> [Int] {
    var generator = SeededGenerator(seed: bench.seed(.replay, number, -2))
    let marks = recording.changes.indices.filter { index in
      let change = recording.changes[index]
      return change.isSynchronous || ![.write, .truncate, .zero, .allocate].contains(change.kind)
    }
    return (0..<Self.pointsPerRecording).map { point in
      guard point % 2 == 1, let mark = marks.randomElement(using: &generator) else {
        return Int.random(in: 0...recording.changes.count, using: &generator)
      }
      return min(mark + Int.random(in: 0...2, using: &generator), recording.changes.count)
    }
  }
}
