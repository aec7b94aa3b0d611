import WireProtocol

/// The sums of clients' reports on their steps, by the name of the client.
///
/// Names are bounded, because each is a series of the metrics: a client without an access token
/// chooses its own.
struct ClientReports {
  struct Counts: Equatable {
    var steps = 0
    /// Counts by the place of the reason in `ClientReport.Reason.allCases`.
    var missed = [Int](repeating: 0, count: ClientReport.Reason.allCases.count)
  }

  private(set) var counts: [String: Counts] = [:]

  /// The most names with counts of their own.
  static let namesMax = 64
  /// The name of clients without a name.
  static let anonymous = "anonymous"
  /// The name under which the clients beyond `namesMax` are counted together.
  static let other = "other"

  /// Adds a report, and returns the name under which it is counted.
  ///
  /// - Parameter holder: The name that the access token was created for; empty without a token.
  mutating func take(_ report: ClientReport, of holder: String) -> String {
    let wanted = holder.isEmpty ? report.engine?.excerpt ?? Self.anonymous : holder
    // The name for all others takes none of the places.
    let named = counts.count - (counts[Self.other] == nil ? 0 : 1)
    let name = counts[wanted] != nil || named < Self.namesMax ? wanted : Self.other
    counts[name, default: Counts()].steps += report.steps
    for (place, reason) in ClientReport.Reason.allCases.enumerated() {
      counts[name]?.missed[place] += report.missed[reason] ?? 0
    }
    return name
  }
}
