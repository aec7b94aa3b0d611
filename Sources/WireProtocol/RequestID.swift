/// What a request is known by in its answer.
public enum RequestID: Hashable, Sendable {
  case number(Int64)
  case string(String)
  case null

  /// Longest string, in bytes.
  public static let stringBytesMax = 256

  /// nil where the value can be no id.
  init?(_ value: JSONValue) {
    switch value.kind {
    case .integer: self = .number(value.integer)
    case .string where value.stringBytes <= Self.stringBytesMax: self = .string(value.string)
    case .null: self = .null
    default: return nil
    }
  }

  func write(to writer: inout JSONWriter) {
    switch self {
    case .number(let number): writer.integer(number)
    case .string(let string): writer.string(string)
    case .null: writer.null()
    }
  }
}
