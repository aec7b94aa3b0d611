import Foundation
import TestSupport

/// A JSON value. Foundation's own values do not distinguish true from 1.
enum JSON: Equatable, Sendable, Codable, ExpressibleByStringLiteral {
  case null
  case bool(Bool)
  /// Whole numbers in any spelling.
  case integer(Int)
  case number(Double)
  case string(String)
  case array([JSON])
  case object([String: JSON])

  init(stringLiteral value: String) { self = .string(value) }

  init(parsing text: String) throws {
    self = try JSONDecoder().decode(JSON.self, from: Data(text.utf8))
  }

  init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    if container.decodeNil() {
      self = .null
    } else if let value = try? container.decode(Bool.self) {
      self = .bool(value)
    } else if let value = try? container.decode(Int.self) {
      self = .integer(value)
    } else if let value = try? container.decode(Double.self) {
      self = value == value.rounded() && abs(value) < 1e15 ? .integer(Int(value)) : .number(value)
    } else if let value = try? container.decode(String.self) {
      self = .string(value)
    } else if let value = try? container.decode([JSON].self) {
      self = .array(value)
    } else {
      self = .object(try container.decode([String: JSON].self))
    }
  }

  func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    switch self {
    case .null: try container.encodeNil()
    case .bool(let value): try container.encode(value)
    case .integer(let value): try container.encode(value)
    case .number(let value): try container.encode(value)
    case .string(let value): try container.encode(value)
    case .array(let value): try container.encode(value)
    case .object(let value): try container.encode(value)
    }
  }

  /// The value as JSON on one line.
  var text: String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    return (try? encoder.encode(self)).map { String(decoding: $0, as: UTF8.self) } ?? "?"
  }

  // MARK: Parts

  /// A member of an object; nil for any other value.
  subscript(_ name: String) -> JSON? { object?[name] }

  var object: [String: JSON]? { if case .object(let members) = self { members } else { nil } }
  var array: [JSON]? { if case .array(let elements) = self { elements } else { nil } }
  var string: String? { if case .string(let value) = self { value } else { nil } }
  var integer: Int? { if case .integer(let value) = self { value } else { nil } }

  var number: Double? {
    switch self {
    case .integer(let value): Double(value)
    case .number(let value): value
    default: nil
    }
  }
}

/// A request on one line.
func requestLine(_ method: String, _ params: [String: JSON]) -> String {
  JSON.object([
    "jsonrpc": "2.0", "id": .integer(1), "method": .string(method), "params": .object(params),
  ]).text + "\n"
}

extension LineConnection {
  /// Sends a line and returns the answer.
  func exchange(_ line: String) throws -> JSON {
    send(line.hasSuffix("\n") ? line : line + "\n")
    return try JSON(parsing: self.line() ?? "\"no answer\"")
  }
}
