import RepriseModel

/// One line of a trace or of a file of sequences: `{"id"?, "group"?, "prompt"?, "response"}` or
/// `{"id"?, "group"?, "tokens"}`. Other members are ignored.
public struct TraceLine: Equatable, Sendable {
  public var id: String?
  /// A text or an integer, from the member that the reader was told.
  public var group: String?
  public var prompt: [Int32] = []
  /// The tokens of `response`, or of `tokens`.
  public var output: [Int32] = []
}

/// Reads lines of traces. Keep one: its buffers are used again.
public final class TraceLineReader {
  private let document: JSONDocument
  private let groupMember: String?

  public struct Malformed: Error, Equatable, Sendable, CustomStringConvertible {
    public let description: String
  }

  /// - Parameter groupMember: The member that holds the group; nil ignores groups.
  public init(lineBytesMax: Int, groupMember: String? = nil) {
    self.groupMember = groupMember
    document = JSONDocument(bytesMax: lineBytesMax, depthMax: Limits.nestingMax)
  }

  /// Reads one line, without its newline.
  public func read(_ line: RawSpan) throws(Malformed) -> TraceLine {
    let root: JSONValue
    do throws(JSONDocument.SyntaxError) {
      root = try document.parse(line)
    } catch {
      throw Malformed(description: "not JSON: \(error.reason)")
    }
    guard root.kind == .object else {
      throw Malformed(description: "not an object with \"tokens\" or \"response\"")
    }
    var read = TraceLine()
    var hasOutput = false
    try root.forEachMember { (name, value) throws(Malformed) in
      if name == groupMember, let text = Self.name(value) { read.group = text }
      switch name {
      case "id": if value.kind == .string { read.id = value.string }
      case "prompt": try Self.tokens(value, name, into: &read.prompt)
      case "response", "tokens":
        if hasOutput {
          throw Malformed(description: "both \"tokens\" and \"response\", expected one of them")
        }
        hasOutput = true
        try Self.tokens(value, name, into: &read.output)
      default: break
      }
    }
    if !hasOutput { throw Malformed(description: "neither \"tokens\" nor \"response\"") }
    return read
  }

  /// The text of a member that names something; nil for anything but a text or an integer.
  private static func name(_ value: JSONValue) -> String? {
    switch value.kind {
    case .string: value.string
    case .integer: "\(value.integer)"
    default: nil
    }
  }

  private static func tokens(
    _ value: JSONValue, _ name: String, into tokens: inout [Int32]
  ) throws(Malformed) {
    guard value.kind == .array, value.appendTokens(to: &tokens) == value.count else {
      throw Malformed(
        description: "\"\(name)\" is not an array of token ids from 0 to \(Int32.max - 1)")
    }
  }
}
