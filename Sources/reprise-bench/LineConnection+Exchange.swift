import TestSupport
import WireProtocol

/// The line of a request.
func requestLine(_ call: Call) -> [UInt8] {
  var writer = JSONWriter()
  Request(id: .number(1), call: call).write(to: &writer)
  return writer.bytes
}

extension LineConnection {
  /// Sends a line and waits for the answer, which it returns with the time that both took.
  @discardableResult
  func exchange(_ line: [UInt8]) -> (nanoseconds: Int, answer: [UInt8]) {
    let start = nanoseconds()
    guard send(line), let answer = receive() else { fatalError("the connection was lost") }
    return (nanoseconds() - start, answer)
  }

  /// The answer to a line as text.
  func ask(_ line: [UInt8]) -> String { String(decoding: exchange(line).answer, as: UTF8.self) }
}
