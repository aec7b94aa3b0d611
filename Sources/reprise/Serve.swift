import ArgumentParser
import CorpusStore
import Dispatch
import Foundation
import Logging
import TreeService
import WireProtocol

struct Serve: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Serve a store to workers.",
    discussion: """
      Answers on a Unix socket that only its owner may use, or on a loopback port. SIGTERM and \
      SIGINT end it in good order: what was received is answered, open sessions are recorded, and \
      all is on disk when it exits with 0. A snapshot is served for reading: inserts are refused, and \
      sessions are not recorded.

      EXAMPLES
        reprise serve --store /var/lib/reprise --socket /run/reprise.sock
        reprise serve --store ./history --port 7411 --log-level debug
        reprise serve --snapshot ./demo.snapshot --socket ./replica.sock
      """)

  @Option(help: "Directory of the store; made if it is not there.")
  var store: String?

  @Option(help: "File of a snapshot to serve for reading, instead of a store.")
  var snapshot: String?

  @Option(help: "Unix socket to answer on, made with mode 0600.")
  var socket: String?

  @Option(help: "Port on 127.0.0.1 to answer on instead. Anybody on this machine may use it.")
  var port: Int?

  @Option(help: "Event loops; each answers its connections itself.")
  var threads = 2

  @Option(help: "Most bytes that a corpus may grow to, as address space.")
  var mapBytes = StoreOptions().mapBytes

  @Option(help: "Tokens after which a growing index is sealed.")
  var sealTokens = StoreOptions().sealTokens

  @Option(help: "Open sessions in all.")
  var sessionsMax = Limits().sessionsMax

  @Option(help: "Bytes in one line.")
  var lineBytesMax = Limits().lineBytesMax

  @Option(help: "Seconds after which a session without calls ends, where it names no ttl_s.")
  var sessionSeconds = 600

  @Option(help: "Least level that is logged: trace, debug, info, notice, warning, error.")
  var logLevel = "info"

  func validate() throws {
    if (store == nil) == (snapshot == nil) {
      throw ValidationError("say what to serve: either --store DIR or --snapshot FILE")
    }
    if (socket == nil) == (port == nil) {
      throw ValidationError("say where to answer: either --socket PATH or --port NUMBER")
    }
    if let port, !(0...65535).contains(port) {
      throw ValidationError("--port is \(port), expected 0 to 65535")
    }
    for (name, value, range) in [
      ("--threads", threads, 1...64), ("--map-bytes", mapBytes, (1 << 20)...(1 << 44)),
      ("--seal-tokens", sealTokens, 16...(1 << 26)), ("--sessions-max", sessionsMax, 1...(1 << 20)),
      ("--line-bytes-max", lineBytesMax, 1024...(1 << 30)),
      ("--session-seconds", sessionSeconds, 1...86_400),
    ] where !range.contains(value) {
      throw ValidationError(
        "\(name) is \(value), expected \(range.lowerBound) to \(range.upperBound)")
    }
    if Logger.Level(rawValue: logLevel) == nil {
      throw ValidationError("--log-level is \"\(logLevel)\", expected one of those in --help")
    }
  }

  func run() async throws {
    // Before anything else, so that a signal during the start is not lost either.
    let signals = TerminationSignals()
    // A client that goes away in the middle of its answer is no reason to end.
    signal(SIGPIPE, SIG_IGN)
    var logger = Logger(label: "reprise") { StreamLogHandler.standardError(label: $0) }
    logger.logLevel = Logger.Level(rawValue: logLevel) ?? .info

    try Self.requireDescriptors()
    var options = StoreOptions()
    options.mapBytes = mapBytes
    options.sealTokens = sealTokens
    let start = ContinuousClock.now
    let opened: Store
    do throws(StoreError) {
      let reporting = logger
      let report: @Sendable (String) -> Void = { reporting.error("\($0)") }
      opened =
        if let snapshot {
          try Store(snapshot: snapshot, options: options)
        } else {
          try Store(path: store ?? "", options: options, report: report)
        }
    } catch {
      throw ExitCode.failure(saying: "\(error)")
    }
    var service = ServiceOptions(
      address: socket.map { .unixSocket(path: $0) } ?? .loopback(port: port ?? 0))
    service.threads = threads
    service.sessionSeconds = sessionSeconds
    service.limits.sessionsMax = sessionsMax
    service.limits.lineBytesMax = lineBytesMax
    let running: TreeService
    do {
      running = try await TreeService.start(opened, service, logger: logger)
    } catch {
      opened.close()
      throw ExitCode.failure(saying: "\(error)")
    }
    logger.notice(
      "serving",
      metadata: [
        (store == nil ? "snapshot" : "store"): "\(store ?? snapshot ?? "")",
        "address": "\(running.port.map { "127.0.0.1:\($0)" } ?? socket ?? "")",
        "corpora": "\(opened.corpora().count)", "version": "\(repriseVersion)",
        "start_ms": "\(Int(micros(since: start) / 1000))",
      ])
    let signal = await signals.first()
    logger.notice("stopping", metadata: ["signal": "\(signal)"])
    try await running.stop()
    opened.close()
    logger.notice("stopped; all is on disk")
  }
}

extension Serve {
  /// Descriptors that a service needs before it has a single connection.
  private static let descriptorsMin = 64

  /// With fewer it would start, and fail in the middle of something.
  private static func requireDescriptors() throws {
    var limit = rlimit()
    unsafe getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    if limit.rlim_cur < descriptorsMin {
      throw ExitCode.failure(
        saying: "this process may open \(limit.rlim_cur) files, expected at least "
          + "\(descriptorsMin); raise the limit (ulimit -n)")
    }
  }
}

/// SIGTERM and SIGINT as something to wait for.
private final class TerminationSignals: Sendable {
  private let stream: AsyncStream<String>
  private nonisolated(unsafe) let sources: [any DispatchSourceSignal]

  // SAFETY: the sources are made here and only kept alive.
  init() {
    let (stream, continuation) = AsyncStream<String>.makeStream()
    self.stream = stream
    unsafe sources = [(SIGTERM, "SIGTERM"), (SIGINT, "SIGINT")].map { (number, name) in
      // The default would end the process before the source is heard.
      signal(number, SIG_IGN)
      let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
      source.setEventHandler { continuation.yield(name) }
      source.resume()
      return source
    }
  }

  func first() async -> String {
    for await name in stream { return name }
    return ""
  }
}
