import Drafting
import Foundation
import Oracle
import Synchronization
import ToolSupport
import WireProtocol

/// The service under load, and what all workers know of it.
final class Site: Sendable {
  let directory: String
  let journal: Journal
  let seed: UInt64
  /// How many times as busy as usual each worker is.
  let rate: Double
  let tokens: [Tenant: String]
  let httpPort: UInt16
  let identifier: pid_t
  let shared: [SharedLedger]
  let ledger: SharedLedger
  let lateLedger: SharedLedger
  /// A corpus that never changes once the load begins.
  let fixed: (language: Language, depth: Int, sequences: [[Int32]])
  private let process: Mutex<ServiceProcess>

  var store: String { "\(directory)/store" }
  var socket: String { "\(directory)/s" }
  var log: String { "\(directory)/log" }

  /// Of the languages: each corpus has its own.
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
    process = Mutex(started)
    shared = (0..<Bounds.sharedCorpora).map { number in
      SharedLedger(
        "shared-\(number)", depth: number == 0 ? 64 : 24, Bounds.shared,
        Language(number: Number.shared + number, seed: seed))
    }
    let language = Language(number: Number.ledger, seed: seed)
    ledger = SharedLedger("ledger", depth: 64, KeepingRule(), language)
    lateLedger = SharedLedger("ledger-late", depth: 64, KeepingRule(), language)
    let fixedLanguage = Language(number: Number.fixed, seed: seed)
    var random = SeededGenerator(seed: seed)
    fixed = (
      fixedLanguage, 48, (0..<120).map { _ in fixedLanguage.text(count: 150, using: &random) }
    )
  }

  /// Waits until the service answers, and makes what is there from the beginning.
  func prepare() throws {
    let tally = Tally()
    let begin = nanoseconds()
    var connection: Connection?
    while connection == nil {
      connection = try? Connection(self, token: nil, tally)
      if process.withLock({ $0.hasEnded }) || nanoseconds() - begin > 60_000_000_000 {
        throw ToolError("the service does not answer: \(lastWords)")
      }
      if connection == nil { usleep(1000) }
    }
    let auditor = try connect(.auditor, tally)
    for ledger in shared + [ledger] { try create(ledger.name, ledger.depth, ledger.rule, auditor) }
    let _: CorpusDescription = try auditor.call(
      .corpusCreate(
        CorpusCreate(corpus: lateLedger.name, durability: .interval(millis: 50))))
    try create("fixed", fixed.depth, KeepingRule(), auditor)
    let _: Inserted = try auditor.call(
      .sequenceInsert(
        SequenceInsert(corpus: "fixed", sequences: fixed.sequences.map { .init(tokens: $0) })))
  }

  func create(
    _ corpus: String, _ depth: Int, _ rule: KeepingRule, _ connection: Connection
  ) throws {
    let made: CorpusDescription = try connection.call(
      .corpusCreate(CorpusCreate(corpus: corpus, depth: depth, retention: rule.retention)))
    if made.corpus != corpus || made.depth != depth { throw ToolError("made was \(made)") }
  }

  func connect(_ tenant: Tenant, _ tally: Tally, number: Int64 = 1) throws -> Connection {
    try Connection(self, token: tokens[tenant]!, tally, number: number)
  }

  func language(ofOwn number: Int) -> Language {
    Language(number: Number.own + number, seed: seed)
  }
  func language(ofKept number: Int) -> Language {
    Language(number: Number.kept + number, seed: seed)
  }
  func language(ofOperated number: Int) -> Language {
    Language(number: Number.operated + number, seed: seed)
  }

  /// The last line that the service logged.
  var lastWords: String {
    let text = (try? String(contentsOfFile: log, encoding: .utf8)) ?? ""
    return text.split(separator: "\n").last.map(String.init) ?? ""
  }

  var hasEnded: Bool { process.withLock { $0.hasEnded } }

  /// Ends the service in good order. Returns a sentence if it did not.
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

/// What a program says on standard output.
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

/// A port that nobody listens on now.
private func freePort() throws -> UInt16 {
  let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
  defer { close(descriptor) }
  var address = sockaddr_in()
  address.sin_family = sa_family_t(AF_INET)
  address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
  var length = socklen_t(MemoryLayout<sockaddr_in>.size)
  let status = unsafe withUnsafeMutablePointer(to: &address) { pointer in
    unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
      unsafe bind(descriptor, address, length) | getsockname(descriptor, address, &length)
    }
  }
  if status != 0 { throw ToolError("no free port: error \(errno)") }
  return UInt16(bigEndian: address.sin_port)
}
