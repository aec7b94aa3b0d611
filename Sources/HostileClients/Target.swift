import RepriseModel
import Synchronization
import TestSupport

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

  /// Asks for the draft of one context, on a connection of its own.
  ///
  /// - Parameter options: Further members of the params, with a comma before each.
  func speculate(_ context: String, _ options: String = "") throws -> Outcome {
    try call("speculate", "{\(prey),\"context\":[\(context)]\(options)}")
  }
}
