/// The id that a request and its answer share.
public enum RequestID: Hashable, Sendable {
  case number(Int64)
  /// Any other number, spelled as the client wrote it: 1.0, 1e3, or a number of more than 64 bits.
  case numeral(String)
  case string(String)
  case null

  /// The longest string, and the longest text of a number, in bytes.
  public static let bytesMax = 256

  /// Returns nil unless the value is an integer of 64 bits, a string or null.
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
