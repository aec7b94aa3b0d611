import Files
import Foundation
import SystemPackage

/// A file of access tokens and of the rights of their holders:
///
///     {"tokens": [{"name": "agents", "sha256": "9f86d0…", "corpora": ["agents", "sql-*"],
///                  "rights": ["draft", "insert"], "requests_per_second": 2000}]}
///
/// Tokens themselves are in no file: they are 256 random bits, so one round of SHA-256 hides them
/// as well as a slower function would.
public struct AccessFile: Sendable {
  /// An access token's rights and its digest.
  public struct Entry: Hashable, Sendable {
    public var grant: Grant
    public var digest: TokenDigest

    public init(grant: Grant, digest: TokenDigest) {
      self.grant = grant
      self.digest = digest
    }
  }

  public private(set) var entries: [Entry]

  /// The most tokens in one file: each call of `server.authenticate` compares with all of them.
  static let entriesMax = 10_000

  /// A mistake in a file: its place, and what was expected.
  public struct Mistake: Error, Equatable, CustomStringConvertible {
    public let path: String
    public let reason: String
    public var description: String { "access file \(path): \(reason)" }
  }

  /// Reads a file. Only its owner and group may have the right to write it.
  public init(path: String) throws(Mistake) {
    let status: Stat
    do {
      status = try Files.status(path)
      try Files.checkReadable(path)
    } catch {
      throw Mistake(path: path, reason: "cannot be read: \(error)")
    }
    guard let data = FileManager.default.contents(atPath: path) else {
      throw Mistake(path: path, reason: "cannot be read; name a file")
    }
    if status.permissions.contains(.otherWrite) {
      throw Mistake(path: path, reason: "every user may write it; remove that right (chmod o-w)")
    }
    do {
      let file = try JSONDecoder().decode(Contents.self, from: data)
      self = try Self(file, path)
    } catch let mistake as Mistake {
      throw mistake
    } catch {
      throw Mistake(path: path, reason: Self.text(error))
    }
  }

  private init(_ contents: Contents, _ path: String) throws(Mistake) {
    entries = []
    if contents.tokens.count > Self.entriesMax {
      throw Mistake(
        path: path, reason: "\(contents.tokens.count) tokens, expected at most \(Self.entriesMax)")
    }
    for (position, token) in contents.tokens.enumerated() {
      func mistake(_ reason: String) -> Mistake {
        Mistake(path: path, reason: "tokens[\(position)].\(reason)")
      }
      if token.name.isEmpty || token.name.utf8.count > Grant.nameBytesMax {
        throw mistake("name: expected 1 to \(Grant.nameBytesMax) bytes")
      }
      if entries.contains(where: { $0.grant.name == token.name }) {
        throw mistake("name: \"\(token.name)\" appears twice")
      }
      guard let digest = TokenDigest(hexadecimal: token.sha256) else {
        throw mistake("sha256: expected 64 hexadecimal digits")
      }
      if entries.contains(where: { $0.digest == digest }) {
        throw mistake("sha256: the same token appears twice")
      }
      var corpora: [CorpusPattern] = []
      for pattern in token.corpora {
        guard let pattern = CorpusPattern(pattern) else {
          throw mistake(
            "corpora: \"\(pattern)\" is no corpus name; expected letters, digits, '.', '_', '-', "
              + "and optionally '*' at the end")
        }
        corpora.append(pattern)
      }
      let rights: Rights
      do throws(Rights.UnknownRight) {
        rights = try Rights(names: token.rights)
      } catch {
        throw mistake("rights: \(error)")
      }
      let range = Grant.requestsPerSecondRange
      if let rate = token.requests_per_second, !range.contains(rate) {
        throw mistake("requests_per_second: \(rate), expected 1 to \(range.upperBound)")
      }
      let grant = Grant(
        name: token.name, corpora: corpora, rights: rights,
        requestsPerSecond: token.requests_per_second)
      entries.append(Entry(grant: grant, digest: digest))
    }
  }

  public init() { entries = [] }

  // MARK: As it is written

  /// Adds a token's entry to a file, which is created if it does not exist, readable by its owner
  /// alone. A reader sees either the old file or the new one.
  public static func add(_ entry: Entry, to path: String) throws {
    var file = AccessFile()
    if FileManager.default.fileExists(atPath: path) { file = try AccessFile(path: path) }
    if file.entries.contains(where: { $0.grant.name == entry.grant.name }) {
      throw Mistake(
        path: path, reason: "there is a token \"\(entry.grant.name)\" already; choose another name")
    }
    file.entries.append(entry)
    try file.write(to: path)
  }

  /// Removes a token.
  public static func remove(name: String, from path: String) throws {
    var file = try AccessFile(path: path)
    guard let position = file.entries.firstIndex(where: { $0.grant.name == name }) else {
      throw Mistake(
        path: path,
        reason: "there is no token \"\(name)\"; name one of the file's tokens")
    }
    file.entries.remove(at: position)
    try file.write(to: path)
  }

  private func write(to path: String) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    let data = try encoder.encode(Contents(tokens: entries.map(Contents.Token.init)))
    let beside = "\(path).new"
    guard
      FileManager.default.createFile(
        atPath: beside, contents: data + [10], attributes: [.posixPermissions: 0o600])
    else { throw Mistake(path: path, reason: "cannot be written") }
    do { try Files.move(beside, to: path) } catch {
      throw Mistake(path: path, reason: "cannot be written: \(error)")
    }
  }

  /// The members of the file; unknown members are refused, so that a mistyped bound is not taken
  /// for none.
  private struct Contents: Codable {
    var tokens: [Token]

    struct Token: Codable {
      var name: String
      var sha256: String
      var corpora: [String]
      var rights: [String]
      // swift-format-ignore: AlwaysUseLowerCamelCase
      var requests_per_second: Int?

      init(_ entry: Entry) {
        name = entry.grant.name
        sha256 = entry.digest.hexadecimal
        corpora = entry.grant.corpora.map(\.description)
        rights = entry.grant.rights.names
        requests_per_second = entry.grant.requestsPerSecond
      }

      init(from decoder: any Decoder) throws {
        try AccessFile.refuseUnknown(
          decoder, ["name", "sha256", "corpora", "rights", "requests_per_second"])
        let members = try decoder.container(keyedBy: CodingKeys.self)
        name = try members.decode(String.self, forKey: .name)
        sha256 = try members.decode(String.self, forKey: .sha256)
        corpora = try members.decode([String].self, forKey: .corpora)
        rights = try members.decode([String].self, forKey: .rights)
        requests_per_second = try members.decodeIfPresent(Int.self, forKey: .requests_per_second)
      }
    }

    init(tokens: [Token]) { self.tokens = tokens }

    init(from decoder: any Decoder) throws {
      try AccessFile.refuseUnknown(decoder, ["tokens"])
      tokens = try decoder.container(keyedBy: CodingKeys.self).decode([Token].self, forKey: .tokens)
    }
  }

  private struct AnyKey: CodingKey {
    let stringValue: String
    let intValue: Int? = nil
    init?(stringValue: String) { self.stringValue = stringValue }
    init?(intValue: Int) { nil }
  }

  private static func refuseUnknown(_ decoder: any Decoder, _ known: Set<String>) throws {
    let container = try decoder.container(keyedBy: AnyKey.self)
    for key in container.allKeys where !known.contains(key.stringValue) {
      throw DecodingError.dataCorruptedError(
        forKey: key, in: container,
        debugDescription: "is not known; expected \(known.sorted().joined(separator: ", "))")
    }
  }

  private static func text(_ error: any Error) -> String {
    func place(_ path: [any CodingKey]) -> String {
      path.reduce("") { text, key in
        if let position = key.intValue { return "\(text)[\(position)]" }
        return text.isEmpty ? key.stringValue : "\(text).\(key.stringValue)"
      }
    }
    switch error as? DecodingError {
    case .keyNotFound(let key, let context):
      return "\(place(context.codingPath + [key])) is missing"
    case .typeMismatch(let type, let context), .valueNotFound(let type, let context):
      return "\(place(context.codingPath)) is of the wrong type, expected \(type)"
    case .dataCorrupted(let context):
      let reason = context.underlyingError.map { "\($0)" } ?? context.debugDescription
      return "\(place(context.codingPath)) \(reason)"
    default: return "\(error)"
    }
  }
}
