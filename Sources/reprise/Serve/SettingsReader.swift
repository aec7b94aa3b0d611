import Configuration
import Foundation
import SystemPackage

/// Reads settings by name: a flag comes before the environment, that before the file, and that before
/// the default.
///
/// `listen.socket` is REPRISE_LISTEN_SOCKET in the environment, and {"listen": {"socket": …}} in the
/// file.
struct SettingsReader {
  /// What is wrong with a setting, and where it came from.
  struct Mistake: Error, CustomStringConvertible {
    let description: String
  }

  private let environment: KeyMappingProvider<EnvironmentVariablesProvider>
  private let file: FileProvider<JSONSnapshot>?
  private let filePath: String?
  /// All that was asked for: its value as JSON has it, or nil.
  private(set) var values: [(name: String, value: ConfigContent?)] = []

  init(file path: String?) async throws(Mistake) {
    environment = EnvironmentVariablesProvider().prefixKeys(with: "reprise")
    filePath = path
    guard let path else {
      file = nil
      return
    }
    do {
      file = try await FileProvider<JSONSnapshot>(filePath: FilePath(path))
    } catch {
      throw Mistake(description: "configuration file \(path) cannot be read: \(error)")
    }
  }

  // MARK: Values

  mutating func string(_ name: String, flag: String?) throws(Mistake) -> String? {
    let found = try find(name, .string, flag.map { .string($0) })
    values.append((name, found?.content))
    guard case .string(let value)? = found?.content else { return nil }
    return value
  }

  mutating func integer(
    _ name: String, flag: Int?, default standard: Int, in range: ClosedRange<Int>
  ) throws(Mistake) -> Int {
    let found = try find(name, .int, flag.map { .int($0) })
    var value = standard
    if case .int(let given)? = found?.content { value = given }
    values.append((name, .int(value)))
    if !range.contains(value) {
      throw Mistake(
        description: "\(found?.origin ?? name) is \(value), expected \(range.lowerBound) to "
          + "\(range.upperBound)")
    }
    return value
  }

  private func find(
    _ name: String, _ type: ConfigType, _ flag: ConfigContent?
  ) throws(Mistake) -> (content: ConfigContent, origin: String)? {
    if let flag { return (flag, Self.flag(of: name)) }
    let key = AbsoluteConfigKey(name.split(separator: ".").map(String.init), context: [:])
    var places: [(provider: any ConfigProvider, origin: String)] = [
      (environment, Self.variable(of: name))
    ]
    if let file, let filePath { places.append((file, "\(name) in \(filePath)")) }
    for (provider, origin) in places {
      do {
        if let value = try provider.value(forKey: key, type: type).value {
          return (value.content, origin)
        }
      } catch {
        throw Mistake(
          description: "\(origin) is of the wrong type, expected "
            + (type == .int ? "an integer" : "a string"))
      }
    }
    return nil
  }

  // MARK: Names

  static func variable(of name: String) -> String {
    "REPRISE_" + name.uppercased().replacing(".", with: "_")
  }

  /// As it is on the command line, where it has a flag of its own.
  private static func flag(of name: String) -> String {
    if name.hasPrefix("limits.") { return "--limit \(name.dropFirst(7))" }
    let flags = [
      "listen.socket": "--socket", "listen.socket_mode": "--socket-mode",
      "listen.socket_group": "--socket-group", "listen.tcp": "--listen",
    ]
    return flags[name] ?? "--" + name.replacing(".", with: "-").replacing("_", with: "-")
  }

  /// Refuses what stands in the file and was not asked for, so that a mistyped bound is not no bound.
  func refuseUnknown() throws(Mistake) {
    guard let filePath, let data = FileManager.default.contents(atPath: filePath),
      let root = try? JSONSerialization.jsonObject(with: data)
    else { return }
    let known = Set(values.map(\.name))
    for name in Self.names(root, "") where !known.contains(name) {
      throw Mistake(
        description:
          "\(name) in \(filePath) is no setting; `reprise serve --print-config` shows all "
          + "that there are")
    }
  }

  private static func names(_ value: Any, _ prefix: String) -> [String] {
    guard let object = value as? [String: Any] else { return [prefix] }
    return object.sorted { $0.key < $1.key }.flatMap { name, value in
      names(value, prefix.isEmpty ? name : "\(prefix).\(name)")
    }
  }

  // MARK: As a file

  /// All settings as they are in force, as a file that has the same effect. What is not set is null.
  func json() throws -> Data {
    var root: [String: Any] = [:]
    for (name, content) in values {
      let value: Any =
        switch content {
        case .int(let value): value
        case .string(let value): value
        default: NSNull()
        }
      let path = name.split(separator: ".").map(String.init)
      if path.count == 1 {
        root[name] = value
      } else {
        var section = root[path[0]] as? [String: Any] ?? [:]
        section[path[1]] = value
        root[path[0]] = section
      }
    }
    return try JSONSerialization.data(
      withJSONObject: root, options: [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes])
  }
}
