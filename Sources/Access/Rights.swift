/// The rights of a caller, within the corpora of its grant. Each is granted separately.
public struct Rights: OptionSet, Hashable, Sendable, CustomStringConvertible {
  public let rawValue: Int

  public init(rawValue: Int) { self.rawValue = rawValue }

  /// The right to draft, to read statistics, and to open sessions that leave nothing behind (`share`
  /// "never").
  public static let draft = Rights(rawValue: 1)
  /// The right to insert, to create corpora and, with `draft`, to open sessions that join the history.
  public static let insert = Rights(rawValue: 2)
  /// The right to drop and merge corpora, to forget sequences, and to work with snapshots.
  public static let admin = Rights(rawValue: 4)

  public static let all: Rights = [.draft, .insert, .admin]

  /// The rights with their names in access files and errors.
  static let named: [(name: String, right: Rights)] = [
    ("draft", .draft), ("insert", .insert), ("admin", .admin),
  ]

  public var names: [String] { Self.named.filter { contains($0.right) }.map(\.name) }

  public var description: String { names.joined(separator: ", ") }

  public init(names: [String]) throws(UnknownRight) {
    self = []
    for name in names {
      guard let right = Self.named.first(where: { $0.name == name })?.right else {
        throw UnknownRight(name: name)
      }
      insert(right)
    }
  }

  /// A name that no right has.
  public struct UnknownRight: Error, CustomStringConvertible {
    let name: String
    public var description: String {
      "\"\(name)\" is not a right, expected \(Rights.named.map(\.name).joined(separator: ", "))"
    }
  }
}
