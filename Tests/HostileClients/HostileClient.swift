import Synchronization
import WireProtocol

/// One way to be hostile, or broken: what it is called, what it is answered, and how it is done.
///
/// Tests hold each to what it is answered, and look after a neighbour meanwhile; a benchmark does each
/// again and again and measures the neighbour.
public struct HostileClient: Sendable, CustomStringConvertible {
  /// As docs/reports/hostile-clients.md calls it.
  public let name: String
  public let answered: Outcome
  /// Which service it is about.
  public let service: Service
  private let body: @Sendable (Target) throws -> Outcome

  public enum Service: Sendable {
    /// Whoever may open its socket may do everything.
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

  public var description: String { name }

  /// Does it once, and returns what came of it.
  public func perform(_ target: Target) throws -> Outcome { try body(target) }

  /// All of them, in the order of the table in docs/reports/hostile-clients.md.
  public static let all = lines + calls + connections + access
}

/// What a client sees of what it did.
public enum Outcome: Equatable, Sendable, CustomStringConvertible {
  /// Each request has a result.
  case served
  /// Each has this error; the connection goes on.
  case answered(String)
  /// The same, and the service has closed the connection.
  case answeredAndClosed(String)
  /// The service has closed the connection and said nothing.
  case closed
  /// The client went away.
  case gone
  /// Anything else.
  case other(String)

  /// As docs/reports/hostile-clients.md tells it.
  public var description: String {
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

/// A service, and what hostile clients find there.
public struct Target: Sendable {
  public let socket: String
  public let limits: Limits
  /// Where they may make files.
  public let directory: String
  /// Of a guarded service: a token for `corpus` alone.
  public let token: String?

  /// The corpus that they write to; it must stand.
  public static let corpus = "prey"
  /// What must stand in it: two tokens without rule, so that everything follows.
  public static let history: [Int32] = (1...4000).map { Int32(($0 * $0 * $0 / 7) % 2) + 5 }
  /// A corpus that is not theirs; it must stand.
  public static let othersCorpus = "well"

  public init(socket: String, limits: Limits, directory: String, token: String? = nil) {
    self.socket = socket
    self.limits = limits
    self.directory = directory
    self.token = token
  }

  /// A name that nobody else has.
  static func uniqueName() -> String {
    "h\(names.add(1, ordering: .relaxed).newValue)"
  }

  private static let names = Atomic(0)

  /// Connects, and presents the token where there is one.
  func connect(presentingToken: Bool = true) throws -> HostileSocket {
    let connection = try HostileSocket(socket)
    if presentingToken, let token {
      let outcome = try connection.ask(
        request("server.authenticate", "{\"token\":\"\(token)\"}"))
      guard outcome == .served else { throw Hostility("the token was answered \(outcome)") }
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

/// What keeps a hostile client from being one.
struct Hostility: Error, CustomStringConvertible {
  let description: String
  init(_ description: String) { self.description = description }
}

/// A request as its line, without the newline.
func request(_ method: String, _ params: String = "{}", id: String = "1") -> String {
  "{\"jsonrpc\":\"2.0\",\"id\":\(id),\"method\":\"\(method)\",\"params\":\(params)}"
}

/// A text so many times, with something between.
func list(_ text: String, _ count: Int, separator: String = ",") -> String {
  String(String(repeating: separator + text, count: count).dropFirst(separator.utf8.count))
}
