import Glibc
import TestSupport

extension LineConnection {
  /// No call here takes longer, unless the service is stuck.
  static let patienceSeconds = 60

  /// Sends one line or several, and reads at the same time; then makes a harmless request, to see
  /// whether the connection is still served.
  ///
  /// - Parameter answers: The expected number; nil for one a line.
  func ask(_ lines: String, answers: Int? = nil) throws -> Outcome {
    try ask(Array(lines.utf8), answers: answers)
  }

  func ask(_ lines: [UInt8], answers: Int? = nil) throws -> Outcome {
    let end = request("health.live", id: "\"end\"")
    return try exchange(
      lines + Array("\n\(end)\n".utf8),
      answers: answers ?? lines.count { $0 == UInt8(ascii: "\n") } + 1
    ).outcome
  }

  /// Makes requests one after the other until one is refused, and returns its outcome.
  func askUntilRefused(_ line: () -> String) throws -> Outcome {
    while true {
      let outcome = try ask(line())
      if outcome != .served { return outcome }
    }
  }

  /// Sends all bytes, and reads until the connection is closed, or until the expected number of
  /// answers and the one to "end" have arrived.
  func exchange(_ bytes: [UInt8], answers expected: Int = .max) throws -> Answers {
    var hasEnd = false
    var unsent = bytes[...]
    var answers = Answers()
    while true {
      let events = wait(
        for: unsent.isEmpty ? POLLIN : POLLIN | POLLOUT, millis: Int32(Self.patienceSeconds) * 1000)
      if events == 0 { throw ToolError("the service is stuck") }
      if events & POLLIN != 0 {
        guard fill() else {
          answers.isClosed = true
          return answers
        }
        while let line = takeLine() {
          if line.starts(with: Self.end) { hasEnd = true } else { answers.add(line[...]) }
        }
        if hasEnd && answers.count >= expected { return answers }
      } else if events & (POLLHUP | POLLERR) != 0 {
        answers.isClosed = true
        return answers
      }
      if events & POLLOUT != 0 && !unsent.isEmpty {
        // Bytes that cannot be sent any more are dropped: answers can still be read.
        unsent = sendAvailable(unsent).map { unsent.dropFirst($0) } ?? []
      }
    }
  }

  private static let end = Array("{\"jsonrpc\":\"2.0\",\"id\":\"end\"".utf8)

  /// Reads until the service closes the connection.
  func untilClosed() throws -> Outcome { try exchange([]).outcome }
}
