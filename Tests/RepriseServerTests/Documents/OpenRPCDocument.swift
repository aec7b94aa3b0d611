import Foundation
import RepriseModel

/// The contents of docs/guide/openrpc.json.
struct OpenRPCDocument {
  struct Method {
    let name: String
    /// All params together, as an object.
    let params: JSONSchema
    let result: JSONSchema
    /// Kinds of errors.
    let errors: Set<String>
    let examples: [Example]
  }

  struct Example {
    let name: String
    let params: [String: JSON]
    let result: JSON
  }

  /// An error by its kind.
  struct ErrorKind {
    let code: Int
    /// Members of `data` beside `kind`.
    let data: Set<String>
  }

  let root: JSON
  let methods: [Method]
  let errors: [String: ErrorKind]
  let schemas: [String: JSON]

  static let directory = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .appendingPathComponent("../../../docs/guide").standardizedFileURL

  init() throws {
    let data = try Data(contentsOf: Self.directory.appendingPathComponent("openrpc.json"))
    root = try JSONDecoder().decode(JSON.self, from: data)
    let schemas = root["components"]?["schemas"]?.object ?? [:]
    self.schemas = schemas
    errors = (root["components"]?["errors"]?.object ?? [:]).mapValues { error in
      ErrorKind(
        code: error["code"]?.integer ?? 0,
        data: Set((error["data"]?.object ?? [:]).keys).subtracting(["kind"]))
    }
    methods = (root["methods"]?.array ?? []).map { Method($0, schemas) }
  }

  func method(_ name: String) -> Method? { methods.first { $0.name == name } }
}

extension OpenRPCDocument.Method {
  fileprivate init(_ method: JSON, _ schemas: [String: JSON]) {
    name = method["name"]?.string ?? ""
    var properties: [String: JSON] = [:]
    var required: [JSON] = []
    for param in method["params"]?.array ?? [] {
      guard let name = param["name"] else { continue }
      properties[name.string ?? ""] = param["schema"]
      if param["required"] == .bool(true) { required.append(name) }
    }
    var object: [String: JSON] = [
      "type": "object", "properties": .object(properties), "required": .array(required),
      "additionalProperties": .bool(false),
    ]
    object["x-exactly-one"] = method["x-exactly-one"]
    params = JSONSchema(.object(object), schemas)
    result = JSONSchema(method["result"]?["schema"] ?? .null, schemas)
    errors = Set(
      (method["errors"]?.array ?? []).compactMap { error in
        error["$ref"]?.string.flatMap { $0.split(separator: "/").last.map(String.init) }
      })
    examples = (method["examples"]?.array ?? []).map { example in
      var params: [String: JSON] = [:]
      for param in example["params"]?.array ?? [] {
        params[param["name"]?.string ?? ""] = param["value"]
      }
      return OpenRPCDocument.Example(
        name: example["name"]?.string ?? "", params: params,
        result: example["result"]?["value"] ?? .null)
    }
  }
}

/// The differences between an answer and the one that a document shows, by place. Values that
/// depend on the machine or the time are compared by their type alone.
func differences(_ shown: JSON, _ answer: JSON, at place: String = "result") -> [String] {
  let varying: Set<String> = [
    "uptime_s", "bytes", "bytes_on_disk", "bytes_in_memory", "bytes_per_token", "digest",
    "created_s",
  ]
  switch (shown, answer) {
  case (.object(let shown), .object(let answer)):
    let (missing, more) = (
      Set(shown.keys).subtracting(answer.keys), Set(answer.keys).subtracting(shown.keys)
    )
    let names = missing.map { "\(place) has no \($0)" } + more.map { "\(place) has \($0) too" }
    return names
      + shown.sorted { $0.key < $1.key }.flatMap { name, value in
        answer[name].map { differences(value, $0, at: "\(place).\(name)") } ?? []
      }
  case (.array(let shown), .array(let answer)) where shown.count == answer.count:
    return zip(shown, answer).enumerated().flatMap { position, pair in
      differences(pair.0, pair.1, at: "\(place)[\(position)]")
    }
  default:
    let name = String(place.split(separator: ".").last ?? "")
    let isAlike =
      switch (shown, answer) {
      case (.string, .string) where varying.contains(name): true
      // The text of metrics continues.
      case (.string(let shown), .string(let answer)) where name == "text": answer.hasPrefix(shown)
      default: shown.number != nil && answer.number != nil && varying.contains(name)
      }
    return shown == answer || isAlike ? [] : ["\(place) is \(answer.text), not \(shown.text)"]
  }
}
