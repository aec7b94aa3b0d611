import Foundation
import Glibc

/// A plain blocking TCP connection with just enough HTTP for any request.
final class RawHTTPConnection {
  private let descriptor: Int32
  private var received: [UInt8] = []

  struct Response {
    var status = 0
    /// Headers by their names in lower case.
    var headers: [String: String] = [:]
    var body = ""
  }

  init(port: Int) throws {
    descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = in_port_t(port).bigEndian
    address.sin_addr.s_addr = in_addr_t(0x7f00_0001).bigEndian
    let status = unsafe withUnsafePointer(to: &address) {
      unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        unsafe connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    }
    if status != 0 { throw CocoaError(.fileNoSuchFile) }
  }

  deinit { close(descriptor) }

  /// Sends text. Returns true if all of it could be sent.
  @discardableResult func send(_ text: String) -> Bool {
    var bytes = [UInt8](text.utf8)[...]
    while !bytes.isEmpty {
      let count = unsafe bytes.withUnsafeBytes {
        unsafe Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
      }
      if count <= 0 { return false }
      bytes = bytes.dropFirst(count)
    }
    return true
  }

  /// Signals that no more will be sent.
  func endSending() { shutdown(descriptor, Int32(SHUT_WR)) }

  /// The next response; nil when the connection is closed. A response to HEAD has no body.
  func response(toHead: Bool = false) -> Response? {
    let end = [UInt8]("\r\n\r\n".utf8)
    guard let head = take(through: end) else { return nil }
    var response = Response()
    let lines = head.components(separatedBy: "\r\n")
    response.status = Int(lines[0].split(separator: " ").dropFirst().first ?? "") ?? 0
    for line in lines.dropFirst() {
      let parts = line.split(separator: ":", maxSplits: 1)
      if parts.count == 2 {
        response.headers[parts[0].lowercased()] = parts[1].trimmingCharacters(in: .whitespaces)
      }
    }
    let length = toHead ? 0 : Int(response.headers["content-length"] ?? "") ?? 0
    while received.count < length { if !receive() { return nil } }
    response.body = String(decoding: received.prefix(length), as: UTF8.self)
    received.removeFirst(length)
    return response
  }

  func get(_ path: String) -> Response? {
    send("GET \(path) HTTP/1.1\r\nhost: a\r\n\r\n")
    return response()
  }

  /// True if the service has closed the connection, with nothing left to read. Waits for it.
  var isClosed: Bool { received.isEmpty && !receive() }

  private func take(through end: [UInt8]) -> String? {
    while true {
      if let found = received.indices.first(where: { received[$0...].starts(with: end) }) {
        let text = String(decoding: received[..<found], as: UTF8.self)
        received.removeSubrange(..<(found + end.count))
        return text
      }
      if !receive() { return nil }
    }
  }

  private func receive() -> Bool {
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    let count = unsafe buffer.withUnsafeMutableBytes {
      unsafe recv(descriptor, $0.baseAddress, $0.count, 0)
    }
    received += buffer.prefix(max(0, count))
    return count > 0
  }
}
