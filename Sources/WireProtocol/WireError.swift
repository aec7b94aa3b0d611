import RepriseModel

/// An error as it is sent over the wire: a code and a kind for programs, a sentence for people.
public struct WireError: Error, Equatable, Sendable, CustomStringConvertible {
  /// A member of `error.data`, beside `kind`.
  public enum Detail: Equatable, Sendable {
    case text(String)
    case number(Int)
    case texts([String])
  }

  public var kind: ErrorKind
  /// The sentence: what was wrong, what was expected, what to do. It repeats excerpts of the
  /// request.
  public var message: String
  /// The names by which a program finds the faulty part; complete, because each has its limit.
  public var details: [String: Detail]

  public init(_ kind: ErrorKind, _ message: String, _ details: [String: Detail] = [:]) {
    self.kind = kind
    self.message = message
    self.details = details
  }

  public var description: String { "\(message) (\(kind.rawValue), \(kind.code))" }

  /// An error for a value that exceeds a limit.
  ///
  /// - Parameter remedy: The advice at the end of the message.
  public static func limit(
    _ name: LimitName, max: Int, got: Int, _ place: String, remedy: String = "send less at a time"
  ) -> WireError {
    WireError(
      .limitExceeded,
      "\(place) is too large: \(got), where \(name.rawValue) allows at most \(max); \(remedy)",
      ["limit": .text(name.rawValue), "max": .number(max), "got": .number(got)])
  }

  public static func corpusNotFound(_ name: CorpusName) -> WireError {
    corpusNotFound(named: name.text)
  }

  static func corpusNotFound(named name: String) -> WireError {
    WireError(
      .corpusNotFound, "there is no corpus \"\(name.excerpt)\"; create it with corpus.create",
      ["corpus": .text(name)])
  }

  /// The error for restoring a snapshot into a corpus whose name is taken.
  public static func corpusStands(_ name: CorpusName) -> WireError {
    WireError(
      .corpusExists,
      "corpus \(name) already exists; restore under another name, or ask for it to be "
        + "replaced",
      ["corpus": .text(name.text), "differences": .texts([])])
  }

  public static func sessionNotFound(_ name: String) -> WireError {
    WireError(
      .sessionNotFound,
      "there is no open session \"\(name.excerpt)\": it was never opened, was closed, or its lease ran "
        + "out; open one with session.open",
      ["session": .text(name)])
  }

  // MARK: Both directions

  public func write(to writer: inout JSONWriter) {
    writer.beginObject()
    writer.name("code")
    writer.integer(kind.code)
    writer.name("message")
    writer.string(message)
    writer.name("data")
    writer.beginObject()
    writer.name("kind")
    writer.string(kind.rawValue)
    for (name, detail) in details.sorted(by: { $0.key < $1.key }) {
      writer.name(of: name)
      switch detail {
      case .text(let text): writer.string(text)
      case .number(let number): writer.integer(number)
      case .texts(let texts): writer.strings(texts)
      }
    }
    writer.endObject()
    writer.endObject()
  }

  init(_ value: JSONValue) {
    var kind = ErrorKind.internalError
    var message = ""
    var details: [String: Detail] = [:]
    value.forEachMember { (name, value) in
      switch name {
      case "code": kind = ErrorKind.allCases.first { $0.code == value.integer } ?? .internalError
      case "message": message = value.string
      case "data":
        value.forEachMember { (name, value) in
          switch value.kind {
          case .string where name != "kind": details[name] = .text(value.string)
          case .integer: details[name] = .number(Int(value.integer))
          case .array:
            var texts: [String] = []
            value.forEachElement { (_, value) in texts.append(value.string) }
            details[name] = .texts(texts)
          default: break
          }
        }
      default: break
      }
    }
    self.init(kind, message, details)
  }
}

extension ErrorKind {
  /// The number of the error, as JSON-RPC has it.
  public var code: Int {
    switch self {
    case .parseError: -32700
    case .invalidRequest: -32600
    case .methodNotFound: -32601
    case .invalidParams: -32602
    case .internalError: -32603
    case .corpusNotFound: -32001
    case .corpusExists: -32002
    case .sessionNotFound: -32003
    case .conflict: -32004
    case .limitExceeded: -32005
    case .storageFull: -32006
    case .corrupt: -32007
    case .unauthorized: -32008
    case .busy: -32009
    case .tokenizerMismatch: -32010
    case .snapshotNotFound: -32011
    case .readOnly: -32012
    }
  }
}
