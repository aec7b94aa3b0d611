import Concurrency
import Foundation
import RepriseModel
import TestSupport
import WireProtocol

/// The service under load, and the knowledge that all workers share.
final class Site: Sendable {
  let directory: String
  let journal: Journal
  let seed: UInt64
  /// The factor of each worker's usual rate.
  let rate: Double
  let tokens: [Tenant: String]
  let httpPort: UInt16
  let identifier: pid_t
  let shared: [SharedLedger]
  let ledger: SharedLedger
  let lateLedger: SharedLedger
  /// A corpus that never changes once the load begins.
  let fixed: (plan: CorpusPlan, sequences: [[Int32]])
  private let process: Locked<ServiceProcess>

  var store: String { "\(directory)/store" }
  var socket: String { "\(directory)/s" }
  var log: String { "\(directory)/log" }

  /// The numbers of the languages: each corpus has its own.
  private enum Number {
    static let fixed = 1
    static let ledger = 2
    static let shared = 10
    static let own = 100
    static let kept = 600
    static let operated = 1100
  }

  init(
    reprise: String, directory: String, seed: UInt64, rate: Double, journal: Journal
  ) throws {
    self.directory = directory
    self.seed = seed
    self.rate = rate
    self.journal = journal
    var tokens: [Tenant: String] = [:]
    for tenant in Tenant.allCases {
      tokens[tenant] = try output(
        of: reprise,
        [
          "token", "create", "--access", "\(directory)/access.json", "--name", tenant.rawValue,
          "--corpora", tenant.corpora, "--rights", tenant.rights,
        ])
    }
    self.tokens = tokens
    httpPort = try freePort()
    let limits = Bounds.limits.sorted { $0.key < $1.key }
    let started = try ServiceProcess(
      reprise,
      [
        "serve", "--store", "\(directory)/store", "--socket", "\(directory)/s", "--access",
        "\(directory)/access.json", "--http", "127.0.0.1:\(httpPort)", "--seal-tokens",
        "\(Bounds.sealTokens)", "--map-bytes", "\(Bounds.mapBytes)", "--log-level", "notice",
      ] + limits.flatMap { ["--limit", "\($0.key)=\($0.value)"] }, log: "\(directory)/log")
    identifier = started.identifier
    process = Locked(started)
    func plan(_ name: CorpusName, _ number: Int, depth: Int = 64, _ rule: KeepingRule) -> CorpusPlan
    {
      CorpusPlan(
        name: name, depth: depth, rule: rule, language: Language(number: number, seed: seed))
    }
    shared = (0..<Bounds.sharedCorpora).map { number in
      SharedLedger(
        plan(
          "shared-\(number)", Number.shared + number, depth: number == 0 ? 64 : 24, Bounds.shared))
    }
    ledger = SharedLedger(plan("ledger", Number.ledger, KeepingRule()))
    lateLedger = SharedLedger(plan("ledger-late", Number.ledger, KeepingRule()))
    let fixed = plan("fixed", Number.fixed, depth: 48, KeepingRule())
    var random = SeededGenerator(seed: seed)
    self.fixed = (
      fixed, (0..<120).map { _ in fixed.language.text(count: 150, using: &random) }
    )
  }

  /// Waits until the service answers, and creates the initial corpora.
  func prepare() throws {
    let tally = Tally()
    guard try process.withLock({ try $0.isServing(socket) }) else {
      throw ToolError("the service has ended: \(lastWords)")
    }
    let auditor = try connect(.auditor, tally)
    for plan in shared.map(\.plan) + [ledger.plan, fixed.plan] { try create(plan, auditor) }
    var random = SeededGenerator(seed: seed &+ 1)
    for ledger in shared {
      for texts in ledger.plan.filling(using: &random) { try fill(ledger, texts, auditor) }
    }
    let _: CorpusDescription = try auditor.call(
      .corpusCreate(
        CorpusCreate(
          corpus: lateLedger.name, settings: CorpusSettings(durability: .interval(millis: 50)))))
    let _: InsertReceipt = try auditor.call(
      .sequenceInsert(
        SequenceInsert(corpus: "fixed", sequences: fixed.sequences.map { .init(tokens: $0) })))
  }

  private func fill(
    _ ledger: SharedLedger, _ texts: [[Int32]], _ connection: Connection
  ) throws {
    let order = try insert(texts, into: ledger.plan, connection)
    for (place, text) in texts.enumerated() {
      ledger.acknowledge(.init(order: order - UInt64(texts.count - 1 - place), tokens: text))
    }
  }

  /// Inserts sequences that are all new. Returns the last one's order number.
  @discardableResult
  func insert(
    _ texts: [[Int32]], into plan: CorpusPlan, _ connection: Connection
  ) throws -> UInt64 {
    let answer: InsertReceipt = try connection.call(
      .sequenceInsert(
        SequenceInsert(corpus: plan.name, sequences: texts.map { .init(tokens: $0) })))
    guard answer.inserted == texts.count, let order = answer.lastOrder else {
      throw ToolError("\(plan.name): inserting \(texts.count) sequences was answered \(answer)")
    }
    return order
  }

  func create(_ plan: CorpusPlan, _ connection: Connection) throws {
    let made: CorpusDescription = try connection.call(
      .corpusCreate(
        CorpusCreate(
          corpus: plan.name,
          settings: CorpusSettings(depth: plan.depth, retention: plan.rule.retention))))
    if made.corpus != plan.name || made.settings.depth != plan.depth {
      throw ToolError("made was \(made)")
    }
  }

  func connect(_ tenant: Tenant, _ tally: Tally, number: Int64 = 1) throws -> Connection {
    try Connection(self, token: tokens[tenant]!, tally, number: number)
  }

  func plan(ofOwn number: Int) -> CorpusPlan {
    CorpusPlan(
      name: "own-\(number)", depth: [8, 16, 32, 64][number % 4], rule: Bounds.own,
      language: Language(number: Number.own + number, seed: seed))
  }

  func plan(ofKept number: Int) -> CorpusPlan {
    CorpusPlan(
      name: "kept-\(number)", depth: 32, rule: Bounds.kept,
      language: Language(number: Number.kept + number, seed: seed))
  }

  func plan(ofOperated number: Int) -> CorpusPlan {
    CorpusPlan(
      name: "op-\(number)", depth: 16, rule: Bounds.operated,
      language: Language(number: Number.operated + number, seed: seed))
  }

  /// The last line that the service logged.
  var lastWords: String {
    let text = (try? String(contentsOfFile: log, encoding: .utf8)) ?? ""
    return text.split(separator: "\n").last.map(String.init) ?? ""
  }

  var hasEnded: Bool { process.withLock { $0.hasEnded } }

  /// Stops the service with SIGTERM. Returns a sentence if this failed.
  func stop() -> String? {
    process.withLock { process in
      process.signal(SIGTERM)
      guard let status = process.wait(secondsMax: 120) else {
        process.signal(SIGKILL)
        process.wait()
        return "the service did not end within two minutes of SIGTERM"
      }
      return status == 0 ? nil : "the service ended with \(status) after SIGTERM: \(lastWords)"
    }
  }
}

/// The standard output of a program.
private func output(of program: String, _ arguments: [String]) throws -> String {
  let process = Process()
  process.executableURL = URL(fileURLWithPath: program)
  process.arguments = arguments
  let pipe = Pipe()
  process.standardOutput = pipe
  try process.run()
  let text = String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
  process.waitUntilExit()
  if process.terminationStatus != 0 {
    throw ToolError("\(program) \(arguments.joined(separator: " ")) failed")
  }
  return text.trimmingCharacters(in: .whitespacesAndNewlines)
}

/// A port that no process listens on now.
private func freePort() throws -> UInt16 {
  let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
  defer { close(descriptor) }
  var address = loopback(port: 0)
  var length = socklen_t(MemoryLayout<sockaddr_in>.size)
  let status = unsafe withUnsafeMutablePointer(to: &address) { pointer in
    unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
      unsafe bind(descriptor, address, length) | getsockname(descriptor, address, &length)
    }
  }
  if status != 0 { throw ToolError("no free port: error \(errno)") }
  return UInt16(bigEndian: address.sin_port)
}
