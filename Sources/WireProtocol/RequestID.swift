/// What a request is known by in its answer.
public enum RequestID: Hashable, Sendable {
  case number(Int64)
  /// Any other number, as the client has written it: 1.0, 1e3, or more than 64 bits hold.
  case numeral(String)
  case string(String)
  case null

  /// Bytes of the longest string, and of the longest text of a number.
  public static let bytesMax = 256

  /// nil where the value is no integer of 64 bits, no string and not null.
  init?(_ value: JSONValue) {
    switch value.kind {
    case .integer: self = .number(value.integer)
    case .string where value.stringBytes <= Self.bytesMax: self = .string(value.string)
    case .null: self = .null
    default: return nil
    }
  }

  func write(to writer: inout JSONWriter) {
    switch self {
    case .number(let number): writer.integer(number)
    case .numeral(let text): writer.json([UInt8](text.utf8))
    case .string(let string): writer.string(string)
    case .null: writer.null()
    }
  }
}
