/// The methods of the protocol. The raw value is the place in `allCases`.
public enum Method: Int, CaseIterable, Sendable {
  case serverInfo, serverAuthenticate, serverMetrics, clientReport
  case healthLive, healthReady
  case corpusCreate, corpusList, corpusStats, corpusDrop, corpusMerge
  case sequenceInsert, sequenceForget
  case speculate
  case sessionOpen, sessionStep, sessionClose
  case snapshotCreate, snapshotList, snapshotVerify, snapshotDelete, snapshotRestore

  private static let names = [
    "server.info", "server.authenticate", "server.metrics", "client.report",
    "health.live", "health.ready",
    "corpus.create", "corpus.list", "corpus.stats", "corpus.drop", "corpus.merge",
    "sequence.insert", "sequence.forget",
    "speculate",
    "session.open", "session.step", "session.close",
    "snapshot.create", "snapshot.list", "snapshot.verify", "snapshot.delete", "snapshot.restore",
  ]

  private static let byName = Dictionary(
    uniqueKeysWithValues: allCases.map { ($0.name, $0) })

  /// The name in a request.
  public var name: String { Self.names[rawValue] }

  public init?(name: String) {
    guard let method = Self.byName[name] else { return nil }
    self = method
  }
}
