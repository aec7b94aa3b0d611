import Foundation
import ToolSupport
import WireProtocol

/// The line of a request.
func requestLine(_ call: Call) -> [UInt8] {
  var writer = JSONWriter()
  Request(id: .number(1), call: call).write(to: &writer)
  return writer.bytes
}

/// A blocking connection that exchanges lines: the simplest possible client.
final class LineSocket: @unchecked Sendable {
  // @unchecked Sendable: used by one thread at a time.
  private let descriptor: Int32
  private var buffer = [UInt8](repeating: 0, count: 1 << 20)

  /// Connects, or returns nil if no process listens yet.
  init?(_ path: String) {
    descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    // SAFETY: paths of benchmarks are shorter than `sun_path`.
    unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: path.utf8) }
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

  func send(_ line: [UInt8]) {
    var sent = 0
    while sent < line.count {
      let count = unsafe line.withUnsafeBytes { bytes in
        // SAFETY: stays inside the line.
        unsafe write(descriptor, bytes.baseAddress! + sent, line.count - sent)
      }
      precondition(count > 0, "the connection was lost")
      sent += count
    }
  }

  /// Reads one line, and returns its length including the newline.
  func receive() -> Int {
    var length = 0
    while true {
      if length == buffer.count { buffer += [UInt8](repeating: 0, count: buffer.count) }
      let count = unsafe buffer.withUnsafeMutableBytes { bytes in
        // SAFETY: stays inside the buffer.
        unsafe read(descriptor, bytes.baseAddress! + length, bytes.count - length)
      }
      precondition(count > 0, "the connection was lost")
      length += count
      if buffer[length - 1] == UInt8(ascii: "\n") { return length }
    }
  }

  /// The last answer.
  func text(_ length: Int) -> String { String(decoding: buffer[..<length], as: UTF8.self) }

  /// Sends a line and waits for the answer. Returns nanoseconds and the answer's length.
  func exchange(_ line: [UInt8]) -> (nanoseconds: Int, length: Int) {
    let start = nanoseconds()
    send(line)
    let length = receive()
    return (nanoseconds() - start, length)
  }
}
