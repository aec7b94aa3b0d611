import Foundation

/// A blocking connection that exchanges lines of JSON. It shares no code with the product's client.
final class LineConnection {
  private let descriptor: Int32
  private var buffer: [UInt8] = []
  private var number = 0

  private static let patienceSeconds = 30

  /// An answer: the result, or the kind of the error and its sentence.
  enum Answer {
    case result([String: Any])
    case refused(kind: String, message: String)
    /// The connection ended before the answer.
    case lost
  }

  /// Connects, or returns nil if no process listens.
  init?(_ path: String) {
    descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    // No call in these tests takes this long; a service that never answers counts as lost.
    var patience = timeval(tv_sec: Self.patienceSeconds, tv_usec: 0)
    unsafe setsockopt(
      descriptor, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    // SAFETY: the directories of these tests have short paths, so there is a zero at the end.
    unsafe withUnsafeMutableBytes(of: &address.sun_path) { bytes in
      unsafe bytes.copyBytes(from: path.utf8.prefix(bytes.count - 1))
    }
    let connected = unsafe withUnsafePointer(to: &address) { pointer in
      unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
        unsafe connect(descriptor, address, socklen_t(MemoryLayout<sockaddr_un>.size))
      }
    }
    if connected != 0 {
      close(descriptor)
      return nil
    }
  }

  deinit { close(descriptor) }

  /// Sends a call and waits for its answer.
  ///
  /// - Parameter params: The members of `params` as JSON, without braces.
  func call(_ method: String, _ params: String) -> Answer {
    number += 1
    let line = #"{"jsonrpc":"2.0","id":\#(number),"method":"\#(method)","params":{\#(params)}}"#
    guard send(Array((line + "\n").utf8)), let answer = receive() else { return .lost }
    guard let object = try? JSONSerialization.jsonObject(with: Data(answer)) as? [String: Any]
    else { return .refused(kind: "unreadable", message: String(decoding: answer, as: UTF8.self)) }
    if let result = object["result"] as? [String: Any] { return .result(result) }
    let error = object["error"] as? [String: Any]
    let data = error?["data"] as? [String: Any]
    return .refused(
      kind: data?["kind"] as? String ?? "unreadable", message: error?["message"] as? String ?? "")
  }

  private func send(_ line: [UInt8]) -> Bool {
    var sent = 0
    while sent < line.count {
      let count = unsafe line.withUnsafeBytes { bytes in
        // SAFETY: stays inside the line.
        unsafe Glibc.send(
          descriptor, bytes.baseAddress! + sent, line.count - sent, Int32(MSG_NOSIGNAL))
      }
      if count <= 0 { return false }
      sent += count
    }
    return true
  }

  private func receive() -> [UInt8]? {
    var searched = 0
    while true {
      if let end = buffer[searched...].firstIndex(of: UInt8(ascii: "\n")) {
        let line = Array(buffer[..<end])
        buffer.removeSubrange(...end)
        return line
      }
      searched = buffer.count
      var chunk = [UInt8](repeating: 0, count: 1 << 16)
      let count = unsafe chunk.withUnsafeMutableBytes { bytes in
        // SAFETY: stays inside the buffer.
        unsafe read(descriptor, bytes.baseAddress, bytes.count)
      }
      if count <= 0 { return nil }
      buffer += chunk[..<count]
    }
  }
}
