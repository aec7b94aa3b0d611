/// The outcome that a client sees.
package enum Outcome: Equatable, Sendable, CustomStringConvertible {
  /// Each request has a result.
  case served
  /// Each request has this error; the connection stays open.
  case answered(String)
  /// Each request has this error, and the service has closed the connection.
  case answeredAndClosed(String)
  /// The service has closed the connection without an answer.
  case closed
  /// The client disconnected.
  case gone
  /// Anything else.
  case other(String)

  /// The wording of docs/reports/hostile-clients.md.
  package var description: String {
    switch self {
    case .served: "its results"
    case .answered(let kind): "`\(kind)`"
    case .answeredAndClosed(let kind): "`\(kind)`, closed"
    case .closed: "closed"
    case .gone: "nothing"
    case .other(let what): what
    }
  }

  static func exceeds(_ limit: String) -> Outcome { .answered(limitExceeded(limit)) }
  static func exceedsAndCloses(_ limit: String) -> Outcome {
    .answeredAndClosed(limitExceeded(limit))
  }
  static func limitExceeded(_ limit: String) -> String { "limit_exceeded: \(limit)" }
}
