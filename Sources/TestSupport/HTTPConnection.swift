import Foundation

/// A blocking connection to a port of this machine, with just enough HTTP for any request.
package final class HTTPConnection {
  private let connection: LineConnection

  package struct Response {
    package var status = 0
    /// Headers by their names in lower case.
    package var headers: [String: String] = [:]
    package var body = ""
  }

  package init(port: Int) throws { connection = try LineConnection(port: port) }

  /// Sends text. Returns true if all of it could be sent.
  @discardableResult
  package func send(_ text: String) -> Bool { connection.send(text) }

  /// Signals that no more will be sent.
  package func endSending() { connection.endSending() }

  /// The next response; nil when the connection is closed. A response to HEAD has no body.
  package func response(toHead: Bool = false) -> Response? {
    guard let head = connection.receive(through: Array("\r\n\r\n".utf8)) else { return nil }
    var response = Response()
    let lines = String(decoding: head, as: UTF8.self).components(separatedBy: "\r\n")
    response.status = Int(lines[0].split(separator: " ").dropFirst().first ?? "") ?? 0
    for line in lines.dropFirst() {
      let parts = line.split(separator: ":", maxSplits: 1)
      if parts.count == 2 {
        response.headers[parts[0].lowercased()] = parts[1].trimmingCharacters(in: .whitespaces)
      }
    }
    let length = toHead ? 0 : Int(response.headers["content-length"] ?? "") ?? 0
    guard let body = connection.receive(count: length) else { return nil }
    response.body = String(decoding: body, as: UTF8.self)
    return response
  }

  package func get(_ path: String) -> Response? {
    send("GET \(path) HTTP/1.1\r\nhost: a\r\n\r\n")
    return response()
  }

  /// True if the service has closed the connection, with nothing left to read. Waits for it.
  package var isClosed: Bool { connection.receive(count: 1) == nil }
}
