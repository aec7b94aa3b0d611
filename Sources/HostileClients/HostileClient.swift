import RepriseModel
import Synchronization
import TestSupport
import WireProtocol

/// One kind of hostile or broken client: its name, the answer to it, and its behaviour.
///
/// Tests compare the answers, and check a neighbouring client in the meantime; a benchmark repeats
/// each behaviour and measures the neighbour.
package struct HostileClient: Sendable, CustomStringConvertible {
  /// The name in docs/reports/hostile-clients.md.
  package let name: String
  package let answered: Outcome
  /// The kind of service that it attacks.
  package let service: Service
  private let body: @Sendable (Target) throws -> Outcome

  package enum Service: Sendable {
    /// Every user who may open its socket may do everything.
    case open
    /// It has an access file.
    case guarded
  }

  init(
    _ name: String, _ answered: Outcome, on service: Service = .open,
    _ body: @escaping @Sendable (Target) throws -> Outcome
  ) {
    self.name = name
    self.answered = answered
    self.service = service
    self.body = body
  }

  package var description: String { name }

  /// Acts once, and returns the outcome.
  package func perform(_ target: Target) throws -> Outcome { try body(target) }

  /// All kinds, in the order of the table in docs/reports/hostile-clients.md.
  package static let all = lines + calls + connections + access
}

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

/// A service, and the resources that hostile clients use.
package struct Target: Sendable {
  package let socket: String
  package let limits: Limits
  /// A directory in which they may create files.
  package let directory: String
  /// Of a guarded service: a token for `corpus` alone.
  package let token: String?

  /// The corpus that they write to; it must exist.
  package static let corpus: CorpusName = "prey"
  /// The history that it must hold: two tokens without a pattern, so that both always may follow.
  package static let history: [Int32] = (1...4000).map { Int32(($0 * $0 * $0 / 7) % 2) + 5 }
  /// A corpus that is not theirs; it must exist.
  package static let othersCorpus: CorpusName = "well"

  package init(socket: String, limits: Limits, directory: String, token: String? = nil) {
    self.socket = socket
    self.limits = limits
    self.directory = directory
    self.token = token
  }

  /// A name that no other client has.
  static func uniqueName() -> String {
    "h\(names.add(1, ordering: .relaxed).newValue)"
  }

  private static let names = Atomic(0)

  /// Connects, and presents the token where there is one.
  func connect(presentingToken: Bool = true) throws -> LineConnection {
    let connection = try LineConnection(
      socket, patienceSeconds: LineConnection.patienceSeconds)
    if presentingToken, let token {
      let outcome = try connection.ask(
        request("server.authenticate", "{\"token\":\"\(token)\"}"))
      guard outcome == .served else { throw ToolError("the token was answered \(outcome)") }
    }
    return connection
  }

  /// Sends one line or several on a connection of its own.
  func ask(_ lines: String, answers: Int? = nil) throws -> Outcome {
    try connect().ask(lines, answers: answers)
  }

  /// Sends a call on a connection of its own.
  func call(_ method: String, _ params: String) throws -> Outcome {
    try ask(request(method, params))
  }
}

/// A request as its line, without the newline.
func request(_ method: String, _ params: String = "{}", id: String = "1") -> String {
  "{\"jsonrpc\":\"2.0\",\"id\":\(id),\"method\":\"\(method)\",\"params\":\(params)}"
}

/// A text repeated `count` times, with a separator.
func list(_ text: String, _ count: Int, separator: String = ",") -> String {
  String(String(repeating: separator + text, count: count).dropFirst(separator.utf8.count))
}
