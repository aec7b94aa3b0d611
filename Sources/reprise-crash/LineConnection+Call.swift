import Foundation
import TestSupport

/// An answer of the service.
enum Answer {
  case result([String: Any])
  /// The kind of the error and its sentence.
  case refused(kind: String, message: String)
  /// The connection ended before the answer.
  case lost
}

extension LineConnection {
  /// No call in these tests takes this long; a service that never answers counts as lost.
  private static let patienceSeconds = 30

  /// Connects, or returns nil if no process listens.
  static func open(_ socket: String) -> LineConnection? {
    try? LineConnection(socket, patienceSeconds: patienceSeconds)
  }

  /// Sends a call and waits for its answer.
  ///
  /// - Parameter params: The members of `params` as JSON, without braces.
  func call(_ method: String, _ params: String) -> Answer {
    let line = #"{"jsonrpc":"2.0","id":1,"method":"\#(method)","params":{\#(params)}}"#
    guard send(line + "\n"), let answer = receive() else { return .lost }
    guard let object = try? JSONSerialization.jsonObject(with: Data(answer)) as? [String: Any]
    else { return .refused(kind: "unreadable", message: String(decoding: answer, as: UTF8.self)) }
    if let result = object["result"] as? [String: Any] { return .result(result) }
    let error = object["error"] as? [String: Any]
    let data = error?["data"] as? [String: Any]
    return .refused(
      kind: data?["kind"] as? String ?? "unreadable", message: error?["message"] as? String ?? "")
  }
}
