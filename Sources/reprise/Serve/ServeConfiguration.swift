import CorpusStore
import Foundation
import HistoryEngine
import Logging
import RepriseModel
import RepriseServer
import StoreErrors
import WireProtocol

/// The configuration of `reprise serve`: the store, addresses, access rules and limits.
struct ServeConfiguration {
  enum Source: CustomStringConvertible {
    case store(path: String)
    case snapshot(path: String)

    var description: String {
      switch self {
      case .store(let path): "store \(path)"
      case .snapshot(let path): "snapshot \(path)"
      }
    }
  }

  var source: Source
  var storeOptions = StoreOptions()
  var service: ServiceOptions
  /// The number of cores that event loops leave to everything else; 0 if all share all.
  var backgroundCores: Int
  var drainSeconds: Int
  var logLevel: Logger.Level

  /// - Parameter inherited: Sockets that the supervisor has bound.
  init(
    _ flags: ServeFlags, _ settings: inout SettingsReader, inherited: [Listener]
  ) throws {
    typealias Mistake = SettingsReader.Mistake
    let store = try settings.string("store", flag: flags.store)
    let snapshot = try settings.string("snapshot", flag: flags.snapshot)
    switch (store, snapshot) {
    case (let path?, nil): source = .store(path: path)
    case (nil, let path?): source = .snapshot(path: path)
    default: throw Mistake(description: "name what to serve: --store DIR or --snapshot FILE")
    }

    service = ServiceOptions()
    service.listeners = try Self.listeners(flags, &settings) + inherited
    if service.listeners.isEmpty {
      throw Mistake(
        description:
          "give an address: --socket PATH, --listen ADDRESS, or a socket of systemd")
    }
    service.accessFile = try settings.string("access", flag: flags.access)
    service.tls = try Self.tls(flags, &settings)
    if let address = try settings.string("http", flag: flags.http) {
      guard case .tcp(let host, let port)? = Listener(tcp: address) else {
        throw Mistake(
          description:
            "http is \"\(address)\", expected HOST:PORT, [IPv6]:PORT or a port from 0 to "
            + "65535")
      }
      service.http = (host, port)
    }
    backgroundCores = try settings.integer(
      "background_cores", flag: flags.backgroundCores, default: 0, in: 0...(Machine.cores - 1))
    service.threads = try settings.integer(
      "threads", flag: flags.threads, default: min(2, Machine.cores - backgroundCores), in: 1...64)
    service.sessionSeconds = try settings.integer(
      "session_seconds", flag: flags.sessionSeconds, default: service.sessionSeconds,
      in: SessionOpen.ttlSecondsRange)
    drainSeconds = try settings.integer(
      "drain_seconds", flag: flags.drainSeconds, default: 60, in: 1...86_400)
    service.limits = try Self.limits(flags, &settings)
    storeOptions.memory = MemoryBudget(limit: service.limits.memoryBytesMax)

    storeOptions.mapBytes = try settings.integer(
      "map_bytes", flag: flags.mapBytes, default: storeOptions.mapBytes,
      in: (1 << 20)...(1 << 44))
    storeOptions.sealTokens = try settings.integer(
      "seal_tokens", flag: flags.sealTokens, default: storeOptions.sealTokens, in: 16...(1 << 26))

    let level = try settings.string("log_level", flag: flags.logLevel) ?? "info"
    guard let level = Logger.Level(rawValue: level) else {
      throw Mistake(
        description: "log_level is \"\(level)\", expected "
          + Logger.Level.allCases.map(\.rawValue).joined(separator: ", "))
    }
    logLevel = level
    try shareFiles(&settings)
    try settings.refuseUnknown()
  }

  /// Checks whether the service would start, as far as possible without starting it. Resources that
  /// another process holds at this moment (an address, the store's lock) are not checked.
  ///
  /// - Throws: `StoreError`, `StartError`, `AccessFile.Mistake`, and an exit status for cores that
  ///   cannot be kept. The process cannot be used afterwards.
  func check() throws {
    try RepriseServer.check(service)
    switch source {
    case .store(let path): try StoreInspection.examine(path: path)
    case .snapshot(let path): try StoreInspection.examine(snapshot: path)
    }
    if backgroundCores > 0 { try Machine.keepCores(forBackground: backgroundCores) }
  }

  private static func listeners(
    _ flags: ServeFlags, _ settings: inout SettingsReader
  ) throws(SettingsReader.Mistake) -> [Listener] {
    var listeners: [Listener] = []
    let mode = try settings.string("listen.socket_mode", flag: flags.socketMode) ?? "600"
    let group = try settings.string("listen.socket_group", flag: flags.socketGroup)
    guard let mode = UInt32(mode, radix: 8), mode <= 0o777 else {
      throw SettingsReader.Mistake(
        description:
          "listen.socket_mode is \"\(mode)\", expected octal digits up to 777, such as 660")
    }
    if let path = try settings.string("listen.socket", flag: flags.socket) {
      listeners.append(.unixSocket(path: path, mode: mode, group: group))
    }
    if let address = try settings.string("listen.tcp", flag: flags.listen) {
      guard let listener = Listener(tcp: address) else {
        throw SettingsReader.Mistake(
          description: "listen.tcp is \"\(address)\", expected HOST:PORT, [IPv6]:PORT or a port "
            + "from 0 to 65535")
      }
      listeners.append(listener)
    }
    return listeners
  }

  private static func tls(
    _ flags: ServeFlags, _ settings: inout SettingsReader
  ) throws(SettingsReader.Mistake) -> TLSFiles? {
    let certificate = try settings.string("tls.certificate", flag: flags.tlsCertificate)
    let key = try settings.string("tls.key", flag: flags.tlsKey)
    let authority = try settings.string("tls.client_authority", flag: flags.tlsClientAuthority)
    switch (certificate, key) {
    case (let certificate?, let key?):
      return TLSFiles(certificate: certificate, key: key, clientAuthority: authority)
    case (nil, nil) where authority == nil: return nil
    default:
      throw SettingsReader.Mistake(
        description: "TLS needs both tls.certificate and tls.key; one of them is not set")
    }
  }

  private static func limits(
    _ flags: ServeFlags, _ settings: inout SettingsReader
  ) throws(SettingsReader.Mistake) -> Limits {
    var given: [LimitName: Int] = [:]
    let names = Limit.all.map(\.name.rawValue)
    for flag in flags.limits {
      let parts = flag.split(separator: "=", maxSplits: 1).map(String.init)
      guard parts.count == 2, let value = Int(parts[1]), names.contains(parts[0]),
        let name = LimitName(rawValue: parts[0])
      else {
        throw SettingsReader.Mistake(
          description: "--limit \(flag): expected NAME=INTEGER, with one of the names "
            + names.joined(separator: ", ") + "; the nearest is "
            + SettingsReader.nearest(to: parts.first ?? "", among: names))
      }
      given[name] = value
    }
    var limits = Limits()
    limits.memoryBytesMax = Machine.memoryBytesDefault
    func set(_ limit: Limit) throws(SettingsReader.Mistake) {
      limits[keyPath: limit.keyPath] = try settings.integer(
        "limits.\(limit.name.rawValue)", flag: given[limit.name],
        default: limits[keyPath: limit.keyPath],
        in: limit.range)
    }
    // Open sessions grow, so their limit follows from the memory.
    for limit in Limit.all where limit.name == .memoryBytes { try set(limit) }
    let sessionTokens = max(1, limits.memoryBytesMax / 2 / DecodingSession.bytesPerToken)
    limits.sessionTokensMax = min(limits.sessionTokensMax, sessionTokens)
    limits.connectionSessionTokensMax = min(limits.connectionSessionTokensMax, sessionTokens)
    for limit in Limit.all where limit.name != .memoryBytes { try set(limit) }
    return limits
  }

  /// Sets the numbers of connections and corpora by the files that there are.
  private mutating func shareFiles(
    _ settings: inout SettingsReader
  ) throws(SettingsReader.Mistake) {
    let corpora: Int =
      switch source {
      case .store(let path): StoreInspection.corpusCount(path: path)
      case .snapshot: 1
      }
    let budget = FileBudget(
      files: Machine.raiseFileLimit(), threads: service.threads, hasHTTP: service.http != nil,
      corpora: corpora)
    do throws(FileBudget.Shortage) {
      let shares = try budget.shares(
        connections: settings.given("limits.connections"),
        corpora: settings.given("limits.corpora"),
        connectionsMax: service.limits.connectionsMax, corporaMax: service.limits.corporaMax)
      service.limits.connectionsMax = shares.connections
      service.limits.corporaMax = shares.corpora
      service.httpConnectionsMax = shares.httpConnections
      settings.replace("limits.connections", by: shares.connections)
      settings.replace("limits.corpora", by: shares.corpora)
    } catch {
      throw SettingsReader.Mistake(description: error.description)
    }
  }
}
