import CLinux
import Concurrency
import Foundation
import HostileClients
import RepriseModel
import TestSupport
import ToolSupport
import WireProtocol

/// The cost of hostile and heavy clients for a worker of the same service.
///
/// All clients share the service's one event loop, which has all cores but the last
/// (`--background-cores 1`). The last core has all else: the service's work in the background and
/// the clients. The worker has priority there, at SCHED_FIFO if that is allowed, and hostile
/// threads are last, at SCHED_IDLE, so that the worker's delays come from the service. It takes a
/// step each half millisecond; windows without and with the other clients alternate.
struct HostileBenchmark {
  private let setting: Setting
  private let parts: [String]

  private static let windows = 6
  private static let stepsAWindow = 600
  private static let hostileThreads = 2

  /// - Parameter clients: Parts of the names of the clients to measure; none for all.
  init(_ setting: Setting, clients: [String]) {
    self.setting = setting
    parts = clients
  }

  /// Measures all clients.
  ///
  /// - Returns: The tables of docs/reports/hostile-clients.md.
  func run(_ report: inout Report) throws -> String {
    report.begin("A worker's steps beside hostile clients: p99 to that without them")
    keep_thread_to_cores(Int32(Core.last), Int32(Core.last))
    Scheduling.first.apply()
    defer { Scheduling.usual.apply() }
    defer { keep_thread_to_cores(Int32(Core.first), Int32(Core.last)) }
    var text = ""
    for clients in [HostileClient.all, HostileClient.heavy] {
      text += "| what it does | is answered | neighbour's p99: alone, beside it, ms | times |\n"
      text += "|---|---|---|---|\n"
      for service in [HostileClient.Service.open, .guarded] {
        let wanted = clients.filter { client in
          client.service == service
            && (parts.isEmpty || parts.contains { client.name.contains($0) })
        }
        if wanted.isEmpty { continue }
        let served = try HostileService(setting, isGuarded: service == .guarded)
        for client in wanted { text += try measure(client, served, &report) }
        served.stop()
      }
      text += "\n"
    }
    return text
  }

  private func measure(
    _ client: HostileClient, _ served: HostileService, _ report: inout Report
  ) throws -> String {
    let worker = try Worker(served)
    // The p99 of each window.
    var (alone, beside): ([Double], [Double]) = ([], [])
    var outcomes: [String: Int] = [:]
    for _ in 0..<Self.windows {
      alone.append(worker.run(Self.stepsAWindow).quantile(0.99))
      let hostile = Hostile(client, served.target, threads: Self.hostileThreads)
      beside.append(worker.run(Self.stepsAWindow).quantile(0.99))
      for outcome in hostile.stop(while: { worker.run(20) }) { outcomes[outcome, default: 0] += 1 }
      // Work that remains after they have ended must not count in the next window.
      worker.run(40)
    }
    worker.end()
    // The second quietest windows: disturbances by other programs fall into the others.
    let (before, after) = (alone.sorted()[1], beside.sorted()[1])
    report.add(
      "\(client.name): \(significant(before)) µs, then \(significant(after)) µs", after / before,
      "times", .atMost(2))
    let unexpected = outcomes.filter { $0.key != "\(client.answered)" }
    if !unexpected.isEmpty || outcomes.isEmpty { print("    was answered \(outcomes)") }
    let times = significant(after / before)
    return
      "| \(client.name) | \(client.answered) | \(Self.millis(before)), \(Self.millis(after)) "
      + "| \(after > 2 * before ? "**\(times)**" : times) |\n"
  }

  private static func millis(_ micros: Double) -> String { significant(micros / 1000) }
}

/// A `reprise serve` with a history for the worker and one for the others.
private struct HostileService {
  let process: ServiceProcess
  let target: Target
  /// Recorded outputs that the worker's session writes.
  let outputs: [[Int32]]
  let workersToken: String?

  /// Limits that are reached within a window, or by two threads together.
  private static let limits: [LimitName: Int] = [
    .lineSeconds: 1, .answerSeconds: 1, .idleSeconds: 5, .connections: 4096, .sessions: 8192,
    .corpora: 64,
  ]

  init(_ setting: Setting, isGuarded: Bool) throws {
    let directory = try setting.emptyStore(isGuarded ? "guarded" : "hostile")
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    guard let trace = setting.traceNames.first else { throw ToolError("no trace") }
    let all = try setting.records(trace).map(\.output).filter { $0.count > 3 }
    outputs = Array(all.suffix(all.count / 4))
    var limits = Limits()
    for limit in Limit.all {
      limits[keyPath: limit.keyPath] =
        Self.limits[limit.name] ?? limits[keyPath: limit.keyPath]
    }
    let socket = "\(directory)/s"
    var arguments = [
      "serve", "--store", "\(directory)/store", "--socket", socket, "--threads", "1",
      "--background-cores", "1", "--log-level", "critical",
    ]
    for (name, value) in Self.limits { arguments += ["--limit", "\(name.rawValue)=\(value)"] }
    var tokens: [String] = []
    if isGuarded {
      tokens = try [Target.corpus.text, Target.othersCorpus.text, "*"].map {
        try Self.makeToken(setting, directory, for: $0)
      }
      arguments += ["--access", "\(directory)/access.json"]
    }
    target = Target(socket: socket, limits: limits, directory: directory, token: tokens.first)
    workersToken = tokens.isEmpty ? nil : tokens[1]
    process = try ServiceProcess.serving(
      setting.reprise, arguments, socket: socket, cores: "\(Core.first)-\(Core.last)")
    try Self.fill(socket, Array(all.prefix(all.count / 2)), tokens.last)
  }

  private static func makeToken(
    _ setting: Setting, _ directory: String, for corpora: String
  ) throws -> String {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: setting.reprise)
    process.arguments = [
      "token", "create", "--access", "\(directory)/access.json", "--name",
      corpora == "*" ? "all" : corpora, "--corpora", corpora, "--rights", "draft,insert,admin",
    ]
    let output = Pipe()
    process.standardOutput = output
    try process.run()
    let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    return text.trimmingCharacters(in: .whitespacesAndNewlines)
  }

  /// At most a million tokens. The inserts of the others do not grow without bound.
  private static func fill(_ socket: String, _ outputs: [[Int32]], _ token: String?) throws {
    let connection = try LineConnection(socket)
    func ask(_ call: Call) throws {
      let answer = connection.ask(requestLine(call))
      if !answer.contains("\"result\"") { throw ToolError(answer) }
    }
    if let token { try ask(.serverAuthenticate(ServerAuthenticate(token: token))) }
    var prey = CorpusCreate(corpus: Target.corpus)
    prey.settings.retention.tokens = 1 << 21
    try ask(.corpusCreate(prey))
    try ask(.corpusCreate(CorpusCreate(corpus: Target.othersCorpus)))
    try ask(
      .sequenceInsert(
        SequenceInsert(corpus: Target.corpus, sequences: [.init(tokens: Target.history)])))
    var tokens = 0
    for output in outputs where tokens < 1_000_000 {
      tokens += output.count
      for corpus in [Target.corpus, Target.othersCorpus] {
        try ask(
          .sequenceInsert(SequenceInsert(corpus: corpus, sequences: [.init(tokens: output)])))
      }
    }
  }

  func stop() { process.stop() }
}

/// Steps one session each half millisecond, or when the previous step is done.
private final class Worker {
  private let connection: LineConnection
  private let lines: [[UInt8]]
  private var next = 0

  private static let paceNanoseconds = 500_000

  init(_ served: HostileService) throws {
    let connection = try LineConnection(served.target.socket)
    self.connection = connection
    if let token = served.workersToken {
      connection.exchange(requestLine(.serverAuthenticate(ServerAuthenticate(token: token))))
    }
    let open = SessionOpen(corpus: Target.othersCorpus, session: "w", prompt: [], share: .never)
    connection.exchange(requestLine(.sessionOpen(open)))
    lines = served.outputs.flatMap { output in
      stride(from: 0, to: output.count - 3, by: 3).map { start in
        var step = SessionStep()
        step.append(session: "w", accept: Array(output[start..<(start + 3)]))
        return requestLine(.sessionStep(step))
      }
    }
  }

  @discardableResult
  func run(_ steps: Int) -> Latencies {
    var times = Latencies()
    var due = nanoseconds()
    for _ in 0..<steps {
      due = max(nanoseconds(), due + Self.paceNanoseconds)
      var time = timespec(tv_sec: due / 1_000_000_000, tv_nsec: due % 1_000_000_000)
      unsafe clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, nil)
      times.add(connection.exchange(lines[next % lines.count]).nanoseconds)
      next += 1
    }
    return times
  }

  func end() {
    connection.exchange(requestLine(.sessionClose(SessionClose(session: "w", record: false))))
  }
}

/// Threads that repeat a hostile act.
private final class Hostile: Sendable {
  private struct State {
    var isStopping = false
    var threads: Int
    var outcomes: [String] = []
  }

  private let state: Locked<State>

  init(_ client: HostileClient, _ target: Target, threads: Int) {
    state = Locked(State(threads: threads))
    for _ in 0..<threads {
      Thread.detachNewThread { [self] in
        Scheduling.last.apply()
        repeat {
          let outcome: String
          do { outcome = "\(try client.perform(target))" } catch { outcome = "\(error)" }
          state.withLock { $0.outcomes.append(outcome) }
        } while !state.withLock { $0.isStopping }
        state.withLock { $0.threads -= 1 }
      }
    }
  }

  /// Returns all outcomes, when no thread acts any more.
  ///
  /// - Parameter wait: Called repeatedly until then.
  func stop(while wait: () -> Void) -> [String] {
    state.withLock { $0.isStopping = true }
    while state.withLock({ $0.threads > 0 }) { wait() }
    return state.withLock { $0.outcomes }
  }
}

/// The priorities for a core, as in linux/sched.h. New threads and processes do not inherit them.
private enum Scheduling: Int32 {
  case usual = 0
  /// SCHED_FIFO | SCHED_RESET_ON_FORK
  case first = 0x4000_0001
  /// SCHED_IDLE
  case last = 5

  /// Applies it to the calling thread. Does nothing if it is not allowed.
  func apply() {
    var parameters = sched_param(sched_priority: self == .first ? 1 : 0)
    unsafe sched_setscheduler(0, rawValue, &parameters)
  }
}

/// The cores for threads.
private enum Core {
  static let first = 0
  static let last = ProcessInfo.processInfo.processorCount - 1
}
