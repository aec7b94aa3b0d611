import Foundation
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
    var trial = try Trial(
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

/// One service that is subjected to a scenario.
private struct Trial {
  let site: Site
  var generator: SeededGenerator
  var load: Load
  var clients: [LoadClient] = []
  /// The connection for drafts; open from the start, as a worker's is.
  var drafting: LineConnection?
  var failures: [String] = []
  var refusals: [String: Int] = [:]
  var acknowledged = 0
  var compared = 0
  private var isMounted = false

  /// A few intervals of the corpus with an interval.
  private static let intervalMicros: UInt32 = 200_000

  init(_ site: Site, seed: UInt64) {
    self.site = site
    generator = SeededGenerator(seed: seed)
    load = site.load(seed: generator.next())
  }

  private mutating func random(_ range: ClosedRange<Int>) -> Int {
    Int.random(in: range, using: &generator)
  }

  // MARK: Scenarios

  mutating func diskFull() throws {
    try begin(fault: "ENOSPC@writes:\(random(1...80))+")
    try go(steps: random(5...40))
    load.tolerance = Load.Tolerance(
      narrow: ["storage_full"], wide: ["storage_full", "internal_error"])
    site.control.isDisarmed = false
    try go(steps: random(20...60))
    try compareDrafts()
    // There is room again: no restart is needed. Writing acknowledged data is retried every
    // interval.
    site.control.isDisarmed = true
    usleep(Self.intervalMicros)
    takeRefusals()
    load.tolerance = Load.Tolerance()
    try go(steps: 20)
    try compareDrafts()
    try stop()
  }

  /// A single failure: it affects one corpus, and the others continue.
  mutating func fails(_ fault: String) throws {
    try begin(fault: "\(fault):\(random(1...80))")
    try go(steps: random(5...40))
    load.tolerance = Load.Tolerance(
      narrow: ["internal_error", "corrupt"], wide: ["internal_error", "corrupt"])
    site.control.isDisarmed = false
    try go(steps: random(20...60))
    site.control.isDisarmed = true
    takeRefusals()
    try go(steps: 20)
    // LMDB abandons a file when writing its head fails; the corpus is unusable until the next
    // start.
    let hurt = Set(site.ledger.takeRefusals().keys.compactMap { $0.split(separator: " ").last })
    if hurt.subtracting(["internal_error", "corrupt"]).count > 1 {
      failures.append("one failure hurt several corpora: \(hurt.sorted())")
    }
    try compareDrafts()
    try stop(mayLose: true)
  }

  mutating func startFails() throws {
    try begin()
    try go(steps: random(10...60))
    try stop()
    let fault = ["ENOSPC@writes", "EIO@writes", "EIO@syncs", "EMFILE@open"]
      .randomElement(using: &generator)!
    site.control.isDisarmed = false
    try startOrRefuse(environment: ["REPRISE_FAULT": "\(fault):\(random(1...6))+"])
  }

  mutating func mapFull() throws {
    for megabytes in [1, 2, 4] {
      let isUp = try site.start(arguments: ["--map-bytes", "\(megabytes << 20)"])
      if !isUp {
        checkRefusal()
        continue
      }
      try connect(creating: megabytes == 1)
      load.tolerance = Load.Tolerance(narrow: ["storage_full"], wide: ["storage_full"])
      var steps = 0
      while steps < 600 {
        try go(steps: 20)
        steps += 20
        let full = site.ledger.takeRefusals()
        for (refusal, count) in full { refusals[refusal, default: 0] += count }
        if full.count > 1 { break }
      }
      try compareDrafts()
      try stop()
    }
  }

  mutating func noDescriptors() throws {
    // Enough for the corpora of the load; the rest is for connections.
    try begin(descriptorsMax: 160)
    try go(steps: 10)
    load.tolerance = Load.Tolerance(wide: ["internal_error", "limit_exceeded"])
    var others = (0..<240).compactMap { _ in LineConnection.open(site.socket) }
    try go(steps: 30)
    try compareDrafts()
    others.removeAll()
    // A later connection is served again, as soon as the service has noticed that the others are
    // closed.
    let deadline = ContinuousClock.now + .seconds(60)
    while true {
      if let late = LineConnection.open(site.socket), case .result = late.call("health.ready", "") {
        break
      }
      if ContinuousClock.now > deadline {
        throw ToolError("no connection is served although descriptors are free again")
      }
    }
    takeRefusals()
    load.tolerance = Load.Tolerance()
    try go(steps: 20)
    try stop()
  }

  mutating func fewDescriptors() throws {
    try begin()
    try go(steps: random(10...40))
    try stop()
    // Starting again would not help.
    try startOrRefuse(descriptorsMax: random(8...90), refusal: 78)
  }

  mutating func readOnlyStart() throws {
    try begin()
    try go(steps: random(10...40))
    try stop()
    site.control.isDisarmed = false
    if try site.start(environment: ["REPRISE_FAULT": "EROFS@changes:1+"], watching: true) {
      failures.append("the service serves a store that it cannot write to")
      try stop()
    } else {
      checkRefusal()
    }
  }

  mutating func readOnly() throws {
    try begin(fault: "EROFS@changes:1+")
    try go(steps: random(5...40))
    load.tolerance = Load.Tolerance(narrow: ["internal_error"], wide: ["internal_error"])
    site.control.isDisarmed = false
    try go(steps: 30)
    try compareDrafts()
    site.control.isDisarmed = true
    takeRefusals()
    load.tolerance = Load.Tolerance()
    try go(steps: 20)
    try stop()
  }

  /// Returns false if nothing can be mounted.
  mutating func smallDisk() throws -> Bool {
    guard Self.run("mount", "-t", "tmpfs", "-o", "size=\(random(1...2))m", "tmpfs", site.store)
    else { return false }
    isMounted = true
    guard try site.start() else {
      checkRefusal()
      return true
    }
    load.tolerance = Load.Tolerance(
      narrow: ["storage_full"], wide: ["storage_full", "internal_error"])
    try connect(creating: true)
    for _ in 0..<20 {
      try go(steps: 30)
      let full = site.ledger.takeRefusals()
      for (refusal, count) in full { refusals[refusal, default: 0] += count }
      if !full.isEmpty { break }
    }
    try go(steps: 20)
    try compareDrafts()
    _ = Self.run("mount", "-o", "remount,size=256m", site.store)
    usleep(Self.intervalMicros)
    takeRefusals()
    load.tolerance = Load.Tolerance()
    try go(steps: 20)
    try compareDrafts()
    try stop()
    return true
  }

  // MARK: Parts of scenarios

  /// Starts the service over a new store and creates the corpora. A fault waits to be armed.
  private mutating func begin(fault: String? = nil, descriptorsMax: Int? = nil) throws {
    site.control.isDisarmed = true
    let environment = fault.map { ["REPRISE_FAULT": $0] } ?? [:]
    guard
      try site.start(
        environment: environment, descriptorsMax: descriptorsMax, watching: fault != nil)
    else { throw ToolError("the service did not start: \(site.lastWords)") }
    try connect(creating: true)
  }

  private mutating func connect(creating: Bool) throws {
    let old = clients
    clients = (0...site.setting.writers).compactMap { number in
      LoadClient(load, site.socket, number: number, seed: generator.next())
    }
    drafting = LineConnection.open(site.socket)
    if clients.count <= site.setting.writers { throw ToolError("no connection") }
    for (client, known) in zip(clients, old) { client.recall(known) }
    if creating && !clients[0].createCorpora() {
      throw ToolError("the service ended: \(site.lastWords)")
    }
  }

  /// Takes a number of steps, one connection after the other, so that the sequence of events is
  /// known.
  private mutating func go(steps: Int) throws {
    for _ in 0..<steps {
      let client = clients[random(0...(clients.count - 1))]
      client.step()
      if client.isLost { throw ToolError("the service went away: \(site.lastWords)") }
    }
  }

  private mutating func takeRefusals() {
    for (refusal, count) in site.ledger.takeRefusals() { refusals[refusal, default: 0] += count }
  }

  private mutating func stop(mayLose: Bool = false) throws {
    takeRefusals()
    if let failure = site.stop(mayLose: mayLose) { failures.append(failure) }
  }

  /// The service must serve, or end with the status of its refusal and a sentence.
  private mutating func startOrRefuse(
    environment: [String: String] = [:], descriptorsMax: Int? = nil, refusal: Int32 = 1
  ) throws {
    let isUp = try site.start(
      environment: environment, descriptorsMax: descriptorsMax, watching: !environment.isEmpty)
    if isUp {
      site.process?.signal(SIGTERM)
      if site.process?.wait(secondsMax: 60) == nil { failures.append("the service does not end") }
    } else {
      checkRefusal(refusal)
    }
  }

  private mutating func checkRefusal(_ expected: Int32 = 1) {
    let status = site.process?.wait() ?? 0
    refusals["refused-to-start ", default: 0] += 1
    let words = site.lastWords
    if status != expected || !words.contains(" ") || words.contains("Fatal error") {
      failures.append("the service ended with \(status) at its start: \(words)")
    }
  }

  /// Compares drafts over the socket with the oracle's, if the history is certain.
  private mutating func compareDrafts() throws {
    let record = site.ledger.record
    let expected = Expectation(record, after: Expectation(), site.setting)
    guard let drafting else { return }
    for corpus in expected.corpora.keys.sorted() + expected.kept.keys.sorted() {
      guard let tags = expected.certain(corpus) else { continue }
      let sequences = tags.compactMap { record.sequences[$0]?.tokens }
      let oracle = NGramOracle(depth: site.setting.depth, sequences: sequences)
      for _ in 0..<5 {
        let text = sequences.randomElement(using: &generator) ?? [1]
        let context = Array(text.prefix(random(1...text.count)).suffix(6))
        let draft = NaiveDrafter().draft(from: oracle, context: context)
        let answer = drafting.call(
          "speculate", #""corpus":"\#(corpus)","context":\#(context)"#)
        guard case .result(let result) = answer else {
          failures.append("a draft over \(corpus) was answered \(answer)")
          return
        }
        compared += 1
        if result["tokens"] as? [Int32] != draft.tokens
          || result["counts"] as? [Int] != draft.counts
        {
          failures.append(
            "corpus \(corpus): after \(context) the draft is \(result), the oracle's "
              + "\(draft.tokens) with \(draft.counts)")
        }
      }
    }
  }

  /// Inspects the remaining store.
  mutating func end() {
    if site.process?.hasEnded == false {
      site.process?.signal(SIGKILL)
      site.process?.wait()
    }
    site.control.isDisarmed = true
    let judge = Judge(setting: site.setting, record: site.ledger.record, base: Expectation())
    var drafts = DraftComparison(depth: site.setting.depth, seed: generator.next())
    failures += site.ledger.complaintsSoFar
    failures += site.judge(judge, crashed: site.ledger.lastAnswer, &drafts).failures
    acknowledged += judge.acknowledged()
    compared += drafts.compared
  }

  mutating func cleanUp() {
    if isMounted { _ = Self.run("umount", site.store) }
    isMounted = false
  }

  private static func run(_ words: String...) -> Bool {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = words
    process.standardError = FileHandle.nullDevice
    guard (try? process.run()) != nil else { return false }
    process.waitUntilExit()
    return process.terminationStatus == 0
  }
}
