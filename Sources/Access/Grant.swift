import RepriseModel

/// The rights of the holder of an access token.
public struct Grant: Hashable, Sendable {
  /// The holder's name, for the log and for `server.authenticate`. Sessions are found by their
  /// names only by the same holder.
  public var name: String
  public var corpora: [CorpusPattern]
  public var rights: Rights
  /// nil uses the limit `requests_per_second`.
  public var requestsPerSecond: Int?

  public static let nameBytesMax = 64
  public static let requestsPerSecondRange = 1...(1 << 20)

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

  public func covers(corpus: CorpusName) -> Bool { corpora.contains { $0.matches(corpus) } }

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
    // Each beginning of a name is one too.
    if CorpusName(text) == nil && !(text.isEmpty && isPrefix) { return nil }
  }

  public func matches(_ name: CorpusName) -> Bool {
    isPrefix ? name.text.hasPrefix(text) : name.text == text
  }

  public var description: String { isPrefix ? text + "*" : text }
}
