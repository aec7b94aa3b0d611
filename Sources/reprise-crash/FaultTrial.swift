import Foundation
import TestSupport

/// One service that is subjected to a scenario.
struct FaultTrial {
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
  var isMounted = false

  /// A few intervals of the corpus with an interval.
  static let intervalMicros: UInt32 = 200_000

  init(_ site: Site, seed: UInt64) {
    self.site = site
    generator = SeededGenerator(seed: seed)
    load = site.load(seed: generator.next())
  }

  mutating func random(_ range: ClosedRange<Int>) -> Int {
    Int.random(in: range, using: &generator)
  }

  // MARK: Parts of scenarios

  /// Starts the service over a new store and creates the corpora. A fault waits to be armed.
  mutating func begin(fault: String? = nil, descriptorsMax: Int? = nil) throws {
    site.control.isDisarmed = true
    let environment = fault.map { ["REPRISE_FAULT": $0] } ?? [:]
    guard
      try site.start(
        environment: environment, descriptorsMax: descriptorsMax, watching: fault != nil)
    else { throw ToolError("the service did not start: \(site.lastWords)") }
    try connect(creating: true)
  }

  mutating func connect(creating: Bool) throws {
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
  mutating func go(steps: Int) throws {
    for _ in 0..<steps {
      let client = clients[random(0...(clients.count - 1))]
      client.step()
      if client.isLost { throw ToolError("the service went away: \(site.lastWords)") }
    }
  }

  mutating func takeRefusals() {
    for (refusal, count) in site.ledger.takeRefusals() { refusals[refusal, default: 0] += count }
  }

  mutating func stop(mayLose: Bool = false) throws {
    takeRefusals()
    if let failure = site.stop(mayLose: mayLose) { failures.append(failure) }
  }

  /// The service must serve, or end with the status of its refusal and a sentence.
  mutating func startOrRefuse(
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

  mutating func checkRefusal(_ expected: Int32 = 1) {
    let status = site.process?.wait() ?? 0
    refusals["refused-to-start ", default: 0] += 1
    let words = site.lastWords
    if status != expected || !words.contains(" ") || words.contains("Fatal error") {
      failures.append("the service ended with \(status) at its start: \(words)")
    }
  }

  /// Compares drafts over the socket with the oracle's, if the history is certain.
  mutating func compareDrafts() throws {
    let record = site.ledger.record
    let expected = Expectation(record, after: Expectation(), site.setting)
    guard let drafting else { return }
    for corpus in expected.corpora.keys.sorted() + expected.kept.keys.sorted() {
      guard let tags = expected.certain(corpus) else { continue }
      let sequences = tags.compactMap { record.sequences[$0]?.text }
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

  static func run(_ words: String...) -> Bool {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = words
    process.standardError = FileHandle.nullDevice
    guard (try? process.run()) != nil else { return false }
    process.waitUntilExit()
    return process.terminationStatus == 0
  }
}
