/// The rights of the holder of an access token.
public struct Grant: Hashable, Sendable {
  /// The holder's name, for the log and for `server.authenticate`. Sessions are found by their
  /// names only by the same holder.
  public var name: String
  public var corpora: [CorpusPattern]
  public var rights: Rights
  /// nil uses the limit `requests_per_second`.
  public var requestsPerSecond: Int?

  public init(
    name: String, corpora: [CorpusPattern], rights: Rights, requestsPerSecond: Int? = nil
  ) {
    self.name = name
    self.corpora = corpora
    self.rights = rights
    self.requestsPerSecond = requestsPerSecond
  }

  /// The grant of every caller, if no access file is in use.
  public static let everything = Grant(name: "", corpora: [.all], rights: .all)

  /// True if the grant covers a corpus of this name, whether or not it exists.
  public func covers(corpus: String) -> Bool { corpora.contains { $0.matches(corpus) } }

  /// True if all corpora are covered, including those created later.
  public var coversAll: Bool { corpora.contains(.all) }
}

/// A corpus name, or a prefix of names: `chat`, `team-a-*`, `*`.
public struct CorpusPattern: Hashable, Sendable, CustomStringConvertible {
  private let text: String
  private let isPrefix: Bool

  public static let all = CorpusPattern(text: "", isPrefix: true)

  private init(text: String, isPrefix: Bool) {
    self.text = text
    self.isPrefix = isPrefix
  }

  /// Returns nil if the pattern can match no corpus name.
  public init?(_ pattern: String) {
    isPrefix = pattern.hasSuffix("*")
    text = isPrefix ? String(pattern.dropLast()) : pattern
    let allowed = text.utf8.allSatisfy { byte in
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "_"),
        UInt8(ascii: "-"):
        true
      default: false
      }
    }
    if !allowed || text.utf8.count > 64 || (text.isEmpty && !isPrefix) { return nil }
  }

  /// True if the pattern matches a name.
  public func matches(_ name: String) -> Bool { isPrefix ? name.hasPrefix(text) : name == text }

  public var description: String { isPrefix ? text + "*" : text }
}
