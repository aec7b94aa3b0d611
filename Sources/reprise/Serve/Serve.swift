import Access
import ArgumentParser
import CLinux
import CorpusStore
import Foundation
import Logging
import RepriseModel
import RepriseServer
import ServiceLifecycle
import StoreErrors
import UnixSignals

struct Serve: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Serve a store to workers.",
    discussion: """
      Answers on a Unix socket that only its owner may use, unless its mode or an access file says \
      otherwise; with an access file also over TCP. SIGTERM and SIGINT stop it: received requests \
      are answered, open sessions are recorded, and all data is on disk when it exits with 0. \
      SIGHUP makes it read the access file and the certificates again. A snapshot is served for \
      reading: inserts are refused, and sessions are not recorded.

      Each setting may be given by a flag, in the environment (REPRISE_LISTEN_SOCKET, \
      REPRISE_LIMITS_SESSIONS) or in a file, in this order of precedence.

      EXIT STATUS
        0 stopped; all is on disk   1 could not start for now, or could not save all
        64 wrong arguments          78 a setting, or a file that it names, is wrong

      EXAMPLES
        reprise serve --store /var/lib/reprise --socket /run/reprise.sock
        reprise serve --store ./history --socket ./s --limit sessions=512 --log-level debug
        reprise serve --config /etc/reprise.json --print-config
        reprise serve --store ./history --listen 0.0.0.0:7411 --access tokens.json \\
            --tls-certificate server.pem --tls-key server.key
        reprise serve --snapshot ./demo.snapshot --socket ./replica.sock
      """)

  @OptionGroup var flags: ServeFlags

  @Option(name: .customLong("config"), help: "JSON file of settings.")
  var configurationFile: String?

  @Flag(name: .customLong("print-config"), help: "Print all settings as a JSON file, and exit.")
  var printsConfiguration = false

  @Flag(
    name: .customLong("check-config"),
    help: "Check all settings and the files that they name, and exit.")
  var checksConfiguration = false

  func run() async throws {
    // Before everything else, so that a signal during the start is not lost either.
    let endings = await UnixSignalsSequence(trapping: .sigterm, .sigint)
    let reloads = await UnixSignalsSequence(trapping: .sighup)
    // A client that disconnects during its answer must not end the process.
    signal(SIGPIPE, SIG_IGN)
    map_large_blocks()
    let files = Machine.raiseFileLimit()
    if files < FileBudget.filesMin {
      throw ExitCode(
        78,
        saying:
          "this process may open \(files) files, expected at least \(FileBudget.filesMin); raise "
          + "the limit (ulimit -n)")
    }
    let supervisor = Supervisor()
    let configuration: ServeConfiguration
    var settings: SettingsReader
    do {
      settings = try await SettingsReader(file: configurationFile)
      configuration = try ServeConfiguration(flags, &settings, inherited: supervisor.listeners)
      if printsConfiguration {
        FileHandle.standardOutput.write(try settings.json() + [10])
        return
      }
      if checksConfiguration {
        try configuration.check()
        print("The configuration is valid.")
        return
      }
    } catch let error as SettingsReader.Mistake {
      throw ExitCode(78, saying: "\(error)")
    } catch {
      throw ExitCode.ofStart(error)
    }
    try await run(configuration, supervisor, endings, reloads)
  }

  private func run(
    _ configuration: ServeConfiguration, _ supervisor: Supervisor,
    _ endings: UnixSignalsSequence, _ reloads: UnixSignalsSequence
  ) async throws {
    var logger = Logger(label: "reprise") { OneLineLogHandler(label: $0) }
    logger.logLevel = configuration.logLevel
    let start = ContinuousClock.now
    if configuration.backgroundCores > 0 {
      try Machine.keepCores(forBackground: configuration.backgroundCores)
    }
    let stopping = Stopping(drain: .seconds(configuration.drainSeconds), logger)
    // Until the process ends, so that a second signal has no effect.
    let signals = Task { for await signal in endings { stopping.begin(signal: "\(signal)") } }
    defer { signals.cancel() }
    guard let store = try await Self.open(configuration, stopping, logger) else { return }
    do {
      try await serve(store, configuration, supervisor, stopping, reloads, since: start, logger)
    } catch {
      await stopping.close(store)
      throw ExitCode.ofStart(error)
    }
    let losses = await stopping.close(store)
    for loss in losses { logger.error("\(loss)") }
    if !losses.isEmpty { throw ExitCode.failure }
    logger.notice("stopped; all is on disk")
  }

  /// Returns when the service is about to end and all received requests are answered.
  private func serve(
    _ store: Store, _ configuration: ServeConfiguration, _ supervisor: Supervisor,
    _ stopping: Stopping, _ reloads: UnixSignalsSequence, since start: ContinuousClock.Instant,
    _ logger: Logger
  ) async throws {
    let service = try await RepriseServer.start(store, configuration.service, logger: logger)
    stopping.serves(service)
    var line: Logger.Metadata = [
      "source": "\(configuration.source)",
      "addresses": "\(service.addresses.joined(separator: ", "))",
      "corpora": "\(store.corpora().count)", "version": "\(repriseVersion)",
      "start_ms": "\(Int(micros(since: start) / 1000))",
    ]
    if let (host, _) = configuration.service.http, let port = service.httpPort {
      line["http"] = "\(Listener.tcp(host: host, port: port))"
    }
    logger.notice("serving", metadata: line)
    // Its errors are thrown as well.
    let lifecycleLogger = Logger(label: "lifecycle") { _ in SwiftLogNoOpLogHandler() }
    // Services are stopped in reverse order.
    let group = ServiceGroupConfiguration(
      services: [
        .init(
          service: SocketService(service: service, supervisor: supervisor, stopping: stopping),
          successTerminationBehavior: .gracefullyShutdownGroup),
        .init(service: ReloadService(service: service, supervisor: supervisor, signals: reloads)),
        .init(service: WatchdogService(service: service, supervisor: supervisor)),
      ],
      logger: lifecycleLogger)
    try await ServiceGroup(configuration: group).run()
  }

  /// Opens the store or snapshot. Returns nil if a signal came before that was done.
  private static func open(
    _ configuration: ServeConfiguration, _ stopping: Stopping, _ logger: Logger
  ) async throws -> Store? {
    var options = configuration.storeOptions
    options.cancellation = stopping.opening
    do {
      let store = try await onThread { [options] () throws(StoreError) in
        switch configuration.source {
        case .store(let path):
          try Store(path: path, options: options) { level, text in
            switch level {
            case .notice: logger.notice("\(text)")
            case .error: logger.error("\(text)")
            }
          }
        case .snapshot(let path): try Store(snapshot: path, options: options)
        }
      }
      stopping.opened(store)
      return store
    } catch StoreError.cancelled {
      logger.notice("stopped while opening; nothing was changed")
      return nil
    } catch {
      throw ExitCode.ofStart(error)
    }
  }
}

extension ExitCode {
  /// 78 for an error that persists until a setting, or a file that it names, is changed; 1 for one
  /// that may disappear without that.
  fileprivate static func ofStart(_ error: any Error) -> ExitCode {
    if let status = error as? ExitCode { return status }
    let (isConfiguration, hint) =
      switch error {
      case let error as StoreError: (error.isConfiguration, "")
      case let error as StartError: (error.isConfiguration, error.hint)
      default: (error is AccessFile.Mistake, "")
      }
    return ExitCode(isConfiguration ? 78 : 1, saying: "\(error)\(hint)")
  }
}

extension StartError {
  /// The flags that help, behind the server's own words.
  fileprivate var hint: String {
    switch self {
    case .alreadyServed, .notASocket, .pathTooLong: " (--socket)"
    case .tokensNeeded: " (--access FILE, which `reprise token create` makes; --socket)"
    case .encryptionNeeded: " (--tls-certificate, --tls-key; --listen)"
    case .cannotListen, .unknownGroup, .unknownHost, .certificate: ""
    }
  }
}
