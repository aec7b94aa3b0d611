import Logging
import WireProtocol

/// Logs one line an event. Clients choose names that appear here, so a value that is not a plain
/// word is quoted, and characters that would end a line, or control a terminal, are escaped as in
/// JSON.
struct OneLineLogHandler: LogHandler {
  private var lines: StreamLogHandler

  init(label: String) {
    lines = .standardError(label: label)
  }

  func log(event: LogEvent) {
    var event = event
    event.message = "\(Self.escaped(event.message.description))"
    event.metadata = event.metadata?.mapValues { "\(Self.quoted($0.description))" }
    lines.log(event: event)
  }

  private static func quoted(_ value: String) -> String {
    let isWord =
      !value.isEmpty
      && value.unicodeScalars.allSatisfy { $0 != " " && $0 != "\"" && $0 != "\\" && $0.isPlain }
    if isWord { return value }
    let text = value.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"")
    return "\"\(escaped(text))\""
  }

  private static func escaped(_ text: String) -> String {
    if text.unicodeScalars.allSatisfy(\.isPlain) { return text }
    var line = ""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\n": line += "\\n"
      case "\t": line += "\\t"
      case _ where !scalar.isPlain:
        let digits = String(scalar.value, radix: 16)
        line += "\\u" + String(repeating: "0", count: max(0, 4 - digits.count)) + digits
      default: line.unicodeScalars.append(scalar)
      }
    }
    return line
  }

  // MARK: Requirements of LogHandler

  var logLevel: Logger.Level {
    get { lines.logLevel }
    set { lines.logLevel = newValue }
  }

  var metadata: Logger.Metadata {
    get { lines.metadata }
    set { lines.metadata = newValue }
  }

  subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { lines[metadataKey: key] }
    set { lines[metadataKey: key] = newValue }
  }
}
