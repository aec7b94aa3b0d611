extension HostileClient {
  /// The hostile kinds, in the order of the first table in docs/reports/hostile-clients.md.
  package static let all: [HostileClient] = [
    LineClients.all, WrongCallClients.all, LargeCallClients.all, SessionClients.all,
    HistoryClients.all, FileClients.all, ConnectionClients.all, AccessClients.all,
  ].flatMap { $0 }

  /// The heavy kinds, in the order of the second table.
  package static let heavy = HeavyClients.all
}
