import Configuration
import Foundation
import SystemPackage

/// Reads settings by name. A flag overrides the environment, that overrides the file, and that the
/// default.
///
/// `listen.socket` is REPRISE_LISTEN_SOCKET in the environment, and {"listen": {"socket": …}} in the
/// file.
struct SettingsReader {
  /// A sentence on what is wrong with a setting, and where it was set.
  struct Mistake: Error, CustomStringConvertible {
    let description: String
  }

  private let environment: KeyMappingProvider<EnvironmentVariablesProvider>
  private let file: FileProvider<JSONSnapshot>?
  private let filePath: String?
  /// All settings that were read: the value in JSON, or nil.
  private(set) var values: [(name: String, value: ConfigContent?)] = []
  /// Names of integers that were set explicitly.
  private var given: Set<String> = []

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
    if found != nil { given.insert(name) }
    if !range.contains(value) {
      throw Mistake(
        description: "\(found?.origin ?? name) is \(value), expected \(range.lowerBound) to "
          + "\(range.upperBound)")
    }
    return value
  }

  /// An integer that was set explicitly; nil if it has its default.
  func given(_ name: String) -> Int? {
    guard given.contains(name), let known = values.last(where: { $0.name == name }),
      case .int(let value)? = known.value
    else { return nil }
    return value
  }

  /// Records that the value in force differs from the configured one.
  mutating func replace(_ name: String, by value: Int) {
    if let place = values.lastIndex(where: { $0.name == name }) {
      values[place].value = .int(value)
    }
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

  /// The name on the command line, if the setting has a flag of its own.
  private static func flag(of name: String) -> String {
    if name.hasPrefix("limits.") { return "--limit \(name.dropFirst(7))" }
    let flags = [
      "listen.socket": "--socket", "listen.socket_mode": "--socket-mode",
      "listen.socket_group": "--socket-group", "listen.tcp": "--listen",
    ]
    return flags[name] ?? "--" + name.replacing(".", with: "-").replacing("_", with: "-")
  }

  /// Refuses variables of the environment and members of the file that no setting has, so that a
  /// mistyped bound is not taken for none.
  func refuseUnknown(
    environment: [String: String] = ProcessInfo.processInfo.environment
  ) throws(Mistake) {
    let variables = Set(values.map { Self.variable(of: $0.name) })
    for variable in environment.keys.sorted()
    where variable.hasPrefix("REPRISE_") && !variables.contains(variable)
      && !Self.belongsToOthers(variable)
    {
      throw Mistake(
        description: "\(variable) is set in the environment and is not a setting; did you mean "
          + "\(Self.nearest(to: variable, among: variables))?")
    }
    guard let filePath, let data = FileManager.default.contents(atPath: filePath),
      let root = try? JSONSerialization.jsonObject(with: data)
    else { return }
    let known = Set(values.map(\.name))
    for name in Self.names(root, "") where !known.contains(name) {
      throw Mistake(
        description:
          "\(name) in \(filePath) is not a setting; did you mean "
          + "\(Self.nearest(to: name, among: known))? `reprise serve --print-config` shows all "
          + "settings")
    }
  }

  /// Variables of clients, engine integrations and tools, which may run in the same environment.
  private static let variablesOfOthers: Set<String> = [
    "REPRISE_SOCKET", "REPRISE_CORPUS", "REPRISE_TOKEN", "REPRISE_TOKEN_FILE",
    "REPRISE_DEADLINE_MS", "REPRISE_OPEN_DEADLINE_MS", "REPRISE_IDLE_S", "REPRISE_SHARE",
    "REPRISE_RECORD", "REPRISE_OVERRIDE_ARCTIC", "REPRISE_VERIFY_COST", "REPRISE_POLICY",
    "REPRISE_BINARY", "REPRISE_CONTROL", "REPRISE_WATCH", "REPRISE_FAULT", "REPRISE_CRASH_AT",
    "REPRISE_HOLD_AT", "REPRISE_PORT",
  ]
  /// Prefixes of variables of tests and benchmarks, and of those that Kubernetes sets for a service
  /// with the name "reprise".
  private static let beginningsOfOthers = [
    "REPRISE_TEST_", "REPRISE_BENCH_", "REPRISE_SERVICE_", "REPRISE_PORT_",
  ]

  private static func belongsToOthers(_ variable: String) -> Bool {
    variablesOfOthers.contains(variable)
      || beginningsOfOthers.contains { variable.hasPrefix($0) }
  }

  /// The name with the fewest letters to be changed, added or left out.
  static func nearest(to name: String, among names: some Collection<String>) -> String {
    names.sorted().min { distance(name, $0) < distance(name, $1) } ?? ""
  }

  /// The Levenshtein distance.
  private static func distance(_ one: String, _ other: String) -> Int {
    let other = Array(other.utf8)
    var row = Array(0...other.count)
    for (place, letter) in one.utf8.enumerated() {
      var above = row[0]
      row[0] = place + 1
      for column in other.indices {
        let change = above + (other[column] == letter ? 0 : 1)
        above = row[column + 1]
        row[column + 1] = min(change, above + 1, row[column] + 1)
      }
    }
    return row[other.count]
  }

  private static func names(_ value: Any, _ prefix: String) -> [String] {
    guard let object = value as? [String: Any] else { return [prefix] }
    return object.sorted { $0.key < $1.key }.flatMap { name, value in
      names(value, prefix.isEmpty ? name : "\(prefix).\(name)")
    }
  }

  // MARK: Output as a file

  /// All settings in force, as a file with the same effect. Settings without a value are null.
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
