import CorpusStore
import Foundation
import RepriseModel
import TestSupport
import ToolSupport

/// The places of programs and directories, and the state that all kinds of tests share.
final class Bench {
  /// The binary under test, from a build with crash points.
  let reprise: String
  /// The binary for refusals of the system: an ordinary release build, because debug builds of
  /// libraries may trap there; or the binary under test if that is optimised.
  let released: String
  /// The library that is loaded between the service and its files.
  let faults: String
  /// The directory for stores; in memory if there is room.
  let work: String
  /// The directory in which failed cases are kept.
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

  /// A seed of its own for each point, independent of the other points that are run.
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

  /// Keeps the directory of a failed case, and returns its new place.
  @discardableResult
  func keep(_ path: String, as name: String) -> String {
    let place = "\(failed)/\(name)"
    let manager = FileManager.default
    try? manager.createDirectory(atPath: failed, withIntermediateDirectories: true)
    try? manager.removeItem(atPath: place)
    try? manager.createDirectory(atPath: place, withIntermediateDirectories: true)
    // One by one, because the socket in it cannot be copied.
    for name in (try? manager.contentsOfDirectory(atPath: path)) ?? [] {
      try? manager.copyItem(atPath: "\(path)/\(name)", toPath: "\(place)/\(name)")
    }
    return place
  }
}

/// A store, the service over it, and the calls that it was sent.
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
    // The directory itself belongs to the operator, and lasts.
    try FileManager.default.createDirectory(
      atPath: "\(directory)/store", withIntermediateDirectories: true)
  }

  deinit {
    process = nil
    try? FileManager.default.removeItem(atPath: directory)
  }

  /// Data kept with a store or a recording, for examining a failure.
  struct Notes: Codable {
    var setting: LoadSetting
    var record: Ledger.Record
  }

  func write(_ notes: Notes) throws {
    try JSONEncoder().encode(notes).write(to: URL(fileURLWithPath: "\(directory)/notes.json"))
  }

  /// Keeps the store, the service's log and the sent calls under a name.
  func keep(as name: String) throws -> String {
    try write(Notes(setting: setting, record: ledger.record))
    return bench.keep(directory, as: name.replacing(":", with: "-"))
  }

  /// Starts the service. Returns true if it answers; otherwise it has ended.
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
    return try started.isServing(socket)
  }

  /// The last line that the service logged.
  var lastWords: String {
    let text = (try? String(contentsOfFile: log, encoding: .utf8)) ?? ""
    return text.split(separator: "\n").last.map(String.init) ?? ""
  }

  /// Stops the service with SIGTERM. Returns a sentence if this failed.
  ///
  /// - Parameter mayLose: True if acknowledged sequences that were not on disk yet may be lost,
  ///   which the service then reports: its disk has failed.
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

  /// Inspects a store and returns its faults and its content.
  ///
  /// - Parameter path: The place of the store, if not the usual one.
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
          failures += try drafts.differences(corpus, found.corpora[corpus.name.text] ?? [])
        }
      }
      return (failures, found)
    } catch {
      return (failures + ["the store cannot be read: \(error)"], nil)
    }
  }
}
