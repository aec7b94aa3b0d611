import Concurrency
import CorpusStore
import Foundation
import HistoryEngine
import RepriseClient
import RepriseModel
import TestSupport
import ToolSupport
import WireProtocol

/// The service from a worker's view: both processes on this machine, a history of ten million
/// tokens.
struct SocketBenchmark {
  private let setting: Setting
  private let socket: String

  private static let sessions = 64
  private static let accepted = 3
  private static let lines = 1500
  private static let linesBefore = 100

  init(_ setting: Setting) {
    self.setting = setting
    socket = "\(setting.work)/s"
  }

  func run(_ report: inout Report) async throws {
    guard let large = setting.large else { return }
    try setting.require(setting.tenMillionStore, of: "drafts")
    report.begin(
      "Through the socket: Unix socket, history of 10 M tokens, both ends on this machine")
    // Outputs that the history does not hold: sessions write them, each once, and they are
    // recorded.
    var outputs = Outputs(
      try readTrace(large, tokensMax: 16_500_000).map(\.output), historyTokens: 10_100_000)
    // Sessions add to the history, so the benchmark uses a copy.
    let store = try setting.emptyStore("served")
    try FileManager.default.copyItem(atPath: setting.tenMillionStore, toPath: store)
    try inProcess(store, outputs, &report)
    let service = try ServiceProcess.serving(
      setting.reprise,
      ["serve", "--store", store, "--socket", socket, "--log-level", "warning"], socket: socket)
    let client = RepriseClient(.unixSocket(path: socket))
    try await steps(client, outputs.take(400_000), tree: false, &report)
    try await steps(client, outputs.take(400_000), tree: true, &report)
    try await sustained(service, &outputs, &report)
    await client.close()
    service.stop()
    try speculate(store, outputs.take(200_000), &report)
    try prompts(outputs.take(200_000), &report)
  }

  /// Outputs, each of which is handed out once.
  private struct Outputs {
    private var left: ArraySlice<[Int32]>

    init(_ all: [[Int32]], historyTokens: Int) {
      var tokens = 0
      left = all.drop { output in
        tokens += output.count
        return tokens < historyTokens
      }
    }

    mutating func take(_ tokens: Int) -> [[Int32]] {
      var taken: [[Int32]] = []
      var count = 0
      while count < tokens, let output = left.popFirst() {
        taken.append(output)
        count += output.count
      }
      return taken
    }
  }

  /// The same steps without service and socket: the index work alone.
  private func inProcess(
    _ path: String, _ outputs: Outputs, _ report: inout Report
  ) throws {
    let store = try Store(path: path)
    defer { store.close() }
    guard let corpus = try store.corpus(named: "large") else { throw ToolError("no corpus") }
    var outputs = outputs
    let texts = outputs.take(400_000).filter { $0.count > Self.accepted }
    var scratch = DraftScratch()
    var draft = Draft()
    var times = Latencies()
    var next = 0
    var decoding: [(session: DecodingSession, text: Int, position: Int)] = []
    func begin() -> (DecodingSession, Int, Int) {
      next += 1
      return (corpus.openSession(prompt: []), (next - 1) % texts.count, 0)
    }
    for _ in 0..<Self.sessions { decoding.append(begin()) }
    for line in 0..<(Self.linesBefore + Self.lines) {
      for place in decoding.indices
      where decoding[place].position + Self.accepted > texts[decoding[place].text].count {
        decoding[place].session.close(record: false) { _ in }
        decoding[place] = begin()
      }
      let start = nanoseconds()
      for place in decoding.indices {
        let position = decoding[place].position
        try decoding[place].session.step(
          accepting: texts[decoding[place].text][position..<(position + Self.accepted)].span,
          DraftOptions(), using: &scratch, into: &draft)
        decoding[place].position += Self.accepted
      }
      if line >= Self.linesBefore { times.add(nanoseconds() - start) }
    }
    for session in decoding { session.session.close(record: false) { _ in } }
    report.add("steps of 64 sessions, in process: p50", times.quantile(0.5) / 1000, "ms")
    report.add("steps of 64 sessions, in process: p99", times.quantile(0.99) / 1000, "ms")
  }

  // MARK: Steps

  /// Sessions that write recorded outputs, three tokens a step.
  private final class Workers {
    private let client: RepriseClient
    private let outputs: [[Int32]]
    private var sessions: [RepriseClient.Session] = []
    private var output: [Int] = []
    private var position: [Int] = []
    private var next = 0

    init(_ client: RepriseClient, _ outputs: [[Int32]]) throws {
      self.client = client
      self.outputs = outputs.filter { $0.count > SocketBenchmark.accepted }
      if self.outputs.isEmpty {
        throw ToolError("the large trace has no outputs beside those of the history")
      }
    }

    func open() async throws {
      for _ in 0..<SocketBenchmark.sessions {
        sessions.append(try await client.openSession(corpus: "large", prompt: []))
        output.append(takeOutput())
        position.append(0)
      }
    }

    private func takeOutput() -> Int {
      next += 1
      return (next - 1) % outputs.count
    }

    /// Sends one line for all sessions. Sessions whose output has ended are replaced by new ones,
    /// which is not timed.
    func step(_ options: DraftOptions) async throws -> (nanoseconds: Int, drafted: Int) {
      var step = SessionStep()
      for place in sessions.indices {
        if position[place] + SocketBenchmark.accepted > outputs[output[place]].count {
          try await sessions[place].close()
          sessions[place] = try await client.openSession(corpus: "large", prompt: [])
          output[place] = takeOutput()
          position[place] = 0
        }
        let end = position[place] + SocketBenchmark.accepted
        step.append(
          session: sessions[place].name,
          accept: Array(outputs[output[place]][position[place]..<end]), options: options)
        position[place] = end
      }
      let start = nanoseconds()
      let drafts = try await client.step(step)
      let time = nanoseconds() - start
      return (time, try drafts.reduce(0) { $0 + (try $1.get().count) })
    }

    func close() async throws {
      for session in sessions { try await session.close() }
    }
  }

  private func steps(
    _ client: RepriseClient, _ outputs: [[Int32]], tree: Bool, _ report: inout Report
  ) async throws {
    let workers = try Workers(client, outputs)
    try await workers.open()
    let options = DraftOptions(tree: tree)
    var times = Latencies()
    var drafted = 0
    for line in 0..<(Self.linesBefore + Self.lines) {
      let (time, count) = try await workers.step(options)
      if line < Self.linesBefore { continue }
      times.add(time)
      drafted += count
    }
    try await workers.close()
    let what = "a step of 64 sessions, \(tree ? "tree" : "path")"
    report.add("\(what): p50", times.quantile(0.5) / 1000, "ms", .atMost(0.6))
    report.add("\(what): p99", times.quantile(0.99) / 1000, "ms", .atMost(1.5))
    report.add(
      "\(what): drafted", Double(drafted) / Double(Self.lines * Self.sessions), "a session")
  }

  /// Several workers at once, so that the service is never idle; measures the CPU that it takes.
  private func sustained(
    _ service: ServiceProcess, _ outputs: inout Outputs, _ report: inout Report
  ) async throws {
    let clients = 4
    let outputs = (0..<clients).map { _ in outputs.take(400_000) }
    let socket = socket
    let cpuBefore = service.cpuSeconds(threads: ["NIO"])
    let start = nanoseconds()
    try await withThrowingTaskGroup(of: Void.self) { group in
      for number in 0..<clients {
        group.addTask {
          let client = RepriseClient(.unixSocket(path: socket))
          let workers = try Workers(client, outputs[number])
          try await workers.open()
          for _ in 0..<Self.lines { _ = try await workers.step(DraftOptions()) }
          try await workers.close()
          await client.close()
        }
      }
      try await group.waitForAll()
    }
    let steps = Double(clients * Self.lines * Self.sessions)
    report.add(
      "session-steps a second of a core of the service",
      steps / (service.cpuSeconds(threads: ["NIO"]) - cpuBefore), "a second", .atLeast(60_000))
    report.add(
      "session-steps a second, with the clients on the same two cores",
      steps / (Double(nanoseconds() - start) / 1e9), "a second")
  }

  // MARK: Stateless drafts

  /// One context of 64 tokens, compared with an echo of lines of the same lengths. The kernel's
  /// placement of the two ends has more effect than the service, so both cases are measured: ends
  /// on two cores, and on one.
  private func speculate(
    _ store: String, _ outputs: [[Int32]], _ report: inout Report
  ) throws {
    let lines = outputs.filter { $0.count > 164 }.prefix(500).map { output in
      requestLine(.speculate(Speculate(corpus: "large", context: Array(output[100..<164]))))
    }
    let file = "\(setting.work)/lines"
    try Data(lines.joined()).write(to: URL(fileURLWithPath: file))
    for (cores, name) in [("1", "ends on two cores"), ("0", "ends on one core")] {
      let service = try ServiceProcess.serving(
        setting.reprise,
        ["serve", "--store", store, "--socket", socket, "--log-level", "warning"], socket: socket,
        cores: cores)
      defer { service.stop() }
      let connection = try LineConnection(socket)
      let typical = lines.map { connection.exchange($0).answer.count + 1 }.sorted()[lines.count / 2]
      let echoSocket = "\(setting.work)/e"
      let echo = try ServiceProcess.serving(
        CommandLine.arguments[0],
        ["echo", "--socket", echoSocket, "--answer-bytes", "\(typical)"], socket: echoSocket,
        cores: cores)
      defer { echo.stop() }
      let times = try exchange(echoSocket, file)
      report.add("echo of \(lines[0].count) and \(typical) bytes, \(name): p50", times[0], "µs")
      report.add("speculate, context of 64, \(name): p50", times[2], "µs")
      report.add("speculate, context of 64, \(name): p99", times[3], "µs")
      report.add("speculate to echo, \(name): p50", times[2] / times[0], "times", .atMost(1.3))
    }
  }

  /// p50 and p99 of the echo, then of the service, in microseconds.
  private func exchange(_ echoSocket: String, _ file: String) throws -> [Double] {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/taskset")
    process.arguments = [
      "-c", "0", CommandLine.arguments[0], "exchange", "--first", echoSocket, "--second", socket,
      "--lines", file, "--rounds", "20",
    ]
    let output = Pipe()
    process.standardOutput = output
    try process.run()
    let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    let times = text.split(whereSeparator: \.isWhitespace).compactMap { Double($0) }
    guard times.count == 4 else { throw ToolError("the exchange failed: \(text)") }
    return times
  }

  // MARK: Prompts

  /// The delay of a step while another session is opened with 100,000 tokens.
  private func prompts(_ outputs: [[Int32]], _ report: inout Report) throws {
    // One event loop, so that both sessions share it.
    let socket = "\(setting.work)/p"
    let service = try ServiceProcess.serving(
      setting.reprise,
      [
        "serve", "--store", try setting.emptyStore("prompt"), "--socket", socket, "--threads", "1",
        "--log-level", "warning",
      ], socket: socket)
    defer { service.stop() }
    let (stepping, opening) = (try LineConnection(socket), try LineConnection(socket))
    stepping.exchange(requestLine(.corpusCreate(CorpusCreate(corpus: "c"))))
    stepping.exchange(
      requestLine(.sessionOpen(SessionOpen(corpus: "c", session: "a", prompt: []))))
    var text: [Int32] = []
    for output in outputs where text.count < 151_000 { text += output }

    var step = SessionStep()
    step.append(session: "a", accept: Array(text[..<3]))
    let stepLine = requestLine(.sessionStep(step))
    var quiet = Latencies()
    for _ in 0..<5000 { quiet.add(stepping.exchange(stepLine).nanoseconds) }

    let prompt = Array(text[..<100_000])
    var (busy, opens) = (Latencies(), Latencies())
    for round in 0..<20 {
      let openLine = requestLine(
        .sessionOpen(SessionOpen(corpus: "c", session: "o\(round)", prompt: prompt)))
      let opened = Once()
      let thread = Thread { opened.set(opening.exchange(openLine).nanoseconds) }
      thread.start()
      while opened.value == nil { busy.add(stepping.exchange(stepLine).nanoseconds) }
      opens.add(opened.value ?? 0)
      stepping.exchange(
        requestLine(.sessionClose(SessionClose(session: "o\(round)", record: false))))
    }
    report.add("opening 100,000 tokens: p50", opens.quantile(0.5) / 1000, "ms")
    report.add("a step of another session, nothing else: p99", quiet.quantile(0.99) / 1000, "ms")
    report.add("a step of another session meanwhile: p50", busy.quantile(0.5) / 1000, "ms")
    report.add(
      "a step of another session meanwhile: p99.9, above p50",
      (busy.quantile(0.999) - quiet.quantile(0.5)) / 1000, "ms", .atMost(1))
    report.add(
      "a step of another session meanwhile: largest, above p50",
      (busy.quantile(1) - quiet.quantile(0.5)) / 1000, "ms", .atMost(1))

    // A chat turn of 500 tokens after 50,000.
    var turns = Latencies()
    for round in 0..<20 {
      let first = round * 1000
      stepping.exchange(
        requestLine(
          .sessionOpen(
            SessionOpen(
              corpus: "c", session: "t\(round)", prompt: Array(text[first..<(first + 50_000)])))))
      stepping.exchange(
        requestLine(.sessionClose(SessionClose(session: "t\(round)", record: false))))
      let turn = requestLine(
        .sessionOpen(
          SessionOpen(
            corpus: "c", session: "u\(round)", prompt: Array(text[first..<(first + 50_500)]),
            parent: "t\(round)")))
      turns.add(stepping.exchange(turn).nanoseconds)
      stepping.exchange(
        requestLine(.sessionClose(SessionClose(session: "u\(round)", record: false))))
    }
    report.add(
      "a turn of 500 tokens after 50,000, its line of 300 KB included: p50",
      turns.quantile(0.5) / 1000, "ms")
  }

  /// A flag that one thread sets and another reads.
  private final class Once: Sendable {
    private let nanoseconds = Locked<Int?>(nil)
    var value: Int? { nanoseconds.withLock { $0 } }
    func set(_ value: Int) { nanoseconds.withLock { $0 = value } }
  }
}
