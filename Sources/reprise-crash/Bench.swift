import CorpusStore
import Foundation
import Oracle
import ToolSupport

/// Where everything is, and what all kinds of tests share.
final class Bench {
  /// The binary under test, of a build with the named places.
  let reprise: String
  /// The binary that meets the system's refusals: what people run, because debug builds of libraries may
  /// trap there, or the binary under test where that is optimised.
  let released: String
  /// The library that stands between the service and its files.
  let faults: String
  /// Directory for stores; on memory where there is room.
  let work: String
  /// Directory in which what failed is kept.
  let failed: String
  let seed: UInt64
  let report: Report

  init(
    reprise: String, released: String, faults: String, work: String, failed: String, seed: UInt64,
    report: Report
  ) {
    self.reprise = reprise
    self.released = released
    self.faults = faults
    self.work = work
    self.failed = failed
    self.seed = seed
    self.report = report
  }

  /// A seed of its own for each point, whatever others are run.
  func seed(_ kind: Kind, _ numbers: Int...) -> UInt64 {
    var generator = SeededGenerator(seed: seed &* 1_000_003 &+ UInt64(kind.number))
    for number in numbers {
      generator = SeededGenerator(seed: generator.next() &+ UInt64(bitPattern: Int64(number)))
    }
    return generator.next()
  }

  func emptyDirectory(_ name: String) throws -> String {
    let path = "\(work)/\(name)"
    try? FileManager.default.removeItem(atPath: path)
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    return path
  }

  /// Keeps a directory of what failed, and returns its new place.
  @discardableResult
  func keep(_ path: String, as name: String) -> String {
    let place = "\(failed)/\(name)"
    let manager = FileManager.default
    try? manager.createDirectory(atPath: failed, withIntermediateDirectories: true)
    try? manager.removeItem(atPath: place)
    try? manager.createDirectory(atPath: place, withIntermediateDirectories: true)
    // One by one, because the socket among them cannot be copied.
    for name in (try? manager.contentsOfDirectory(atPath: path)) ?? [] {
      try? manager.copyItem(atPath: "\(path)/\(name)", toPath: "\(place)/\(name)")
    }
    return place
  }
}

/// A store, the service over it, and what both were told.
final class Site {
  let bench: Bench
  let directory: String
  let setting: LoadSetting
  let ledger = Ledger()
  let control: ControlPage
  private let program: String
  private(set) var process: ServiceProcess?

  var store: String { "\(directory)/store" }
  var socket: String { "\(directory)/s" }
  var recording: String { "\(directory)/recording" }
  var log: String { "\(directory)/log" }

  init(_ bench: Bench, _ name: String, _ setting: LoadSetting, program: String) throws {
    self.bench = bench
    self.program = program
    self.setting = setting
    directory = try bench.emptyDirectory(name)
    control = try ControlPage("\(directory)/control")
    // The directory itself is the operator's, and lasts.
    try FileManager.default.createDirectory(
      atPath: "\(directory)/store", withIntermediateDirectories: true)
  }

  deinit {
    process = nil
    try? FileManager.default.removeItem(atPath: directory)
  }

  /// What is kept beside a store or a recording, so that a failure can be looked into.
  struct Notes: Codable {
    var setting: LoadSetting
    var record: Ledger.Record
  }

  func write(_ notes: Notes) throws {
    try JSONEncoder().encode(notes).write(to: URL(fileURLWithPath: "\(directory)/notes.json"))
  }

  /// Keeps the store, the service's log and what was sent under a name.
  func keep(as name: String) throws -> String {
    try write(Notes(setting: setting, record: ledger.record))
    return bench.keep(directory, as: name.replacing(":", with: "-"))
  }

  /// Starts the service. Returns whether it answers; if not, it has ended.
  func start(
    environment: [String: String] = [:], arguments: [String] = [], descriptorsMax: Int? = nil,
    watching: Bool = false
  ) throws -> Bool {
    var environment = environment
    if watching {
      environment["LD_PRELOAD"] = bench.faults
      environment["REPRISE_WATCH"] = store
      environment["REPRISE_CONTROL"] = "\(directory)/control"
    }
    let started = try ServiceProcess(
      program,
      [
        "serve", "--store", store, "--socket", socket, "--seal-tokens", "\(setting.sealTokens)",
        "--log-level", "notice",
      ] + arguments, environment: environment, log: log, descriptorsMax: descriptorsMax)
    process = started
    let start = ContinuousClock.now
    while LineConnection(socket) == nil {
      if started.hasEnded { return false }
      if ContinuousClock.now - start > .seconds(60) {
        throw ToolError("the service neither answers nor ends; see \(log)")
      }
      usleep(500)
    }
    return true
  }

  /// The last line that the service logged.
  var lastWords: String {
    let text = (try? String(contentsOfFile: log, encoding: .utf8)) ?? ""
    return text.split(separator: "\n").last.map(String.init) ?? ""
  }

  /// Ends the service in good order. Returns a sentence if it did not.
  ///
  /// - Parameter mayLose: Whether sequences that were acknowledged before they were on disk may be lost,
  ///   as the service tells then: its disk has failed.
  func stop(mayLose: Bool = false) -> String? {
    guard let process else { return nil }
    process.signal(SIGTERM)
    guard let status = process.wait(secondsMax: 60) else {
      process.signal(SIGKILL)
      process.wait()
      return "the service did not end within a minute of SIGTERM"
    }
    let words = lastWords
    let loss = " of corpus \(LoadSetting.lazy) are not on disk and are lost"
    if status == 0 || (mayLose && status == 1 && words.contains(loss)) { return nil }
    return "the service ended with \(status) after SIGTERM: \(words)"
  }

  func load(seed: UInt64) -> Load {
    Load(socket: socket, ledger: ledger, setting: setting, seed: seed)
  }

  /// Looks at a store and returns what is wrong with it, and what is there.
  ///
  /// - Parameter path: Where, if not in its own place.
  func judge(
    _ judge: Judge, at path: String? = nil, position: Int = .max, crashed: UInt64,
    _ drafts: inout DraftComparison
  ) -> (failures: [String], found: Inspection?) {
    var failures: [String] = []
    do {
      let found = try Inspection(store: path ?? store) { store, found in
        failures += found.damage
        failures += judge.failures(found, position: position, crashed: crashed)
        for corpus in store.corpora() {
          failures += try drafts.differences(corpus, found.corpora[corpus.name] ?? [])
        }
      }
      return (failures, found)
    } catch {
      return (failures + ["the store cannot be read: \(error)"], nil)
    }
  }
}
