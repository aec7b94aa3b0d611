import Drafting

/// What a method answers: written by the service, read by clients.
public protocol WireResult: Sendable {
  /// Writes the members of `result`.
  func write(to writer: inout JSONWriter)
  /// Reads `result`. Members that are not known are passed over, so that a newer service may say
  /// more; nil where one that is needed is missing.
  init?(result: ResultObject)
}

/// The members of a `result`, by name, for as long as the answer's parser parses no other.
public struct ResultObject {
  let value: JSONValue

  func member(_ wanted: String) -> JSONValue? {
    var found: JSONValue?
    value.forEachMember { (name, value) in
      if name == wanted && value.kind != .null { found = value }
    }
    return found
  }

  func integer(_ name: String) -> Int? {
    guard let value = member(name), value.kind == .integer else { return nil }
    return Int(value.integer)
  }

  func double(_ name: String) -> Double? { member(name).map(\.double) }
  func string(_ name: String) -> String? { member(name).map(\.string) }
  func bool(_ name: String) -> Bool? { member(name).map(\.bool) }
}

/// `server.info`
public struct ServerInfo: WireResult, Equatable {
  public var name = "reprise"
  public var version: String
  /// The wire's version.
  public var protocolVersion = 1
  public var limits: [String: Int]
  public var uptimeSeconds: Double

  public init(version: String, limits: [String: Int], uptimeSeconds: Double) {
    self.version = version
    self.limits = limits
    self.uptimeSeconds = uptimeSeconds
  }

  public func write(to writer: inout JSONWriter) {
    writer.name("name")
    writer.string(name)
    writer.name("version")
    writer.string(version)
    writer.name("protocol")
    writer.integer(protocolVersion)
    writer.name("limits")
    writer.beginObject()
    for (name, value) in limits.sorted(by: { $0.key < $1.key }) {
      writer.name(of: name)
      writer.integer(value)
    }
    writer.endObject()
    writer.name("uptime_s")
    writer.number(uptimeSeconds)
  }

  public init?(result: ResultObject) {
    guard let version = result.string("version"), let uptime = result.double("uptime_s") else {
      return nil
    }
    var limits: [String: Int] = [:]
    result.member("limits")?.forEachMember { (name, value) in limits[name] = Int(value.integer) }
    self.init(version: version, limits: limits, uptimeSeconds: uptime)
    name = result.string("name") ?? name
    protocolVersion = result.integer("protocol") ?? protocolVersion
  }
}

/// `health.live` and `health.ready`
public struct Health: WireResult, Equatable {
  public var ok: Bool
  /// What is still awaited before requests are answered.
  public var awaited: [String]

  public init(ok: Bool, awaited: [String] = []) {
    self.ok = ok
    self.awaited = awaited
  }

  public func write(to writer: inout JSONWriter) {
    writer.name("ok")
    writer.bool(ok)
    writer.name("awaited")
    writer.beginArray()
    for name in awaited { writer.string(name) }
    writer.endArray()
  }

  public init?(result: ResultObject) {
    guard let ok = result.bool("ok") else { return nil }
    self.init(ok: ok)
    result.member("awaited")?.forEachElement { (_, value) in awaited.append(value.string) }
  }
}

/// `corpus.create`
public struct CorpusDescription: WireResult, Equatable {
  public var corpus: String
  public var tokenizer: String?
  public var depth: Int

  public init(corpus: String, tokenizer: String?, depth: Int) {
    self.corpus = corpus
    self.tokenizer = tokenizer
    self.depth = depth
  }

  public func write(to writer: inout JSONWriter) {
    writer.name("corpus")
    writer.string(corpus)
    writer.name("tokenizer")
    if let tokenizer { writer.string(tokenizer) } else { writer.null() }
    writer.name("depth")
    writer.integer(depth)
    writer.name("durability")
    writer.string("commit")
  }

  public init?(result: ResultObject) {
    guard let corpus = result.string("corpus"), let depth = result.integer("depth") else {
      return nil
    }
    self.init(corpus: corpus, tokenizer: result.string("tokenizer"), depth: depth)
  }
}

/// `corpus.stats`, and one entry of `corpus.list`
public struct CorpusStatistics: WireResult, Equatable {
  public var corpus: String
  public var tokenizer: String?
  public var depth: Int
  /// Finished sequences and their tokens.
  public var sequences: Int
  public var tokens: Int
  /// Tokens of open sessions that are drafted from but not on disk yet.
  public var openTokens: Int
  public var bytesOnDisk: Int
  public var bytesInMemory: Int
  public var bytesPerToken: Double
  public var segments: Int
  public var sessions: Int
  /// Order numbers of the oldest and newest sequence.
  public var oldest: UInt64?
  public var newest: UInt64?

  public init(
    corpus: String, tokenizer: String?, depth: Int, sequences: Int, tokens: Int, openTokens: Int,
    bytesOnDisk: Int, bytesInMemory: Int, bytesPerToken: Double, segments: Int, sessions: Int,
    oldest: UInt64?, newest: UInt64?
  ) {
    self.corpus = corpus
    self.tokenizer = tokenizer
    self.depth = depth
    self.sequences = sequences
    self.tokens = tokens
    self.openTokens = openTokens
    self.bytesOnDisk = bytesOnDisk
    self.bytesInMemory = bytesInMemory
    self.bytesPerToken = bytesPerToken
    self.segments = segments
    self.sessions = sessions
    self.oldest = oldest
    self.newest = newest
  }

  public func write(to writer: inout JSONWriter) {
    writer.name("corpus")
    writer.string(corpus)
    writer.name("tokenizer")
    if let tokenizer { writer.string(tokenizer) } else { writer.null() }
    for (name, value) in [
      ("depth", depth), ("sequences", sequences), ("tokens", tokens), ("open_tokens", openTokens),
      ("bytes_on_disk", bytesOnDisk), ("bytes_in_memory", bytesInMemory),
      ("segments", segments), ("sessions", sessions),
    ] {
      writer.name(of: name)
      writer.integer(value)
    }
    writer.name("bytes_per_token")
    writer.number(bytesPerToken)
    for (name, order) in [("oldest", oldest), ("newest", newest)] {
      writer.name(of: name)
      if let order { writer.integer(order) } else { writer.null() }
    }
  }

  public init?(result: ResultObject) {
    guard let corpus = result.string("corpus"), let depth = result.integer("depth"),
      let sequences = result.integer("sequences"), let tokens = result.integer("tokens"),
      let openTokens = result.integer("open_tokens"),
      let bytesOnDisk = result.integer("bytes_on_disk"),
      let bytesInMemory = result.integer("bytes_in_memory"),
      let bytesPerToken = result.double("bytes_per_token"),
      let segments = result.integer("segments"), let sessions = result.integer("sessions")
    else { return nil }
    self.init(
      corpus: corpus, tokenizer: result.string("tokenizer"), depth: depth, sequences: sequences,
      tokens: tokens, openTokens: openTokens, bytesOnDisk: bytesOnDisk,
      bytesInMemory: bytesInMemory, bytesPerToken: bytesPerToken, segments: segments,
      sessions: sessions, oldest: result.integer("oldest").map(UInt64.init),
      newest: result.integer("newest").map(UInt64.init))
  }
}

/// `corpus.list`
public struct CorpusList: WireResult, Equatable {
  public var corpora: [CorpusStatistics]

  public init(corpora: [CorpusStatistics]) {
    self.corpora = corpora
  }

  public func write(to writer: inout JSONWriter) {
    writer.name("corpora")
    writer.beginArray()
    for corpus in corpora {
      writer.beginObject()
      corpus.write(to: &writer)
      writer.endObject()
    }
    writer.endArray()
  }

  public init?(result: ResultObject) {
    guard let list = result.member("corpora") else { return nil }
    corpora = []
    list.forEachElement { (_, value) in
      if let corpus = CorpusStatistics(result: ResultObject(value: value)) {
        corpora.append(corpus)
      }
    }
  }
}

/// `corpus.drop`
public struct CorpusDropped: WireResult, Equatable {
  public var dropped: Bool

  public init(dropped: Bool) {
    self.dropped = dropped
  }

  public func write(to writer: inout JSONWriter) {
    writer.name("dropped")
    writer.bool(dropped)
  }

  public init?(result: ResultObject) {
    guard let dropped = result.bool("dropped") else { return nil }
    self.init(dropped: dropped)
  }
}

/// `sequence.insert`
public struct Inserted: WireResult, Equatable {
  public var inserted: Int
  public var duplicates: Int
  public var tokens: Int
  public var lastOrder: UInt64?

  public init(inserted: Int, duplicates: Int, tokens: Int, lastOrder: UInt64?) {
    self.inserted = inserted
    self.duplicates = duplicates
    self.tokens = tokens
    self.lastOrder = lastOrder
  }

  public func write(to writer: inout JSONWriter) {
    writer.name("inserted")
    writer.integer(inserted)
    writer.name("duplicates")
    writer.integer(duplicates)
    writer.name("tokens")
    writer.integer(tokens)
    writer.name("last_order")
    if let lastOrder { writer.integer(lastOrder) } else { writer.null() }
  }

  public init?(result: ResultObject) {
    guard let inserted = result.integer("inserted"),
      let duplicates = result.integer("duplicates"), let tokens = result.integer("tokens")
    else { return nil }
    self.init(
      inserted: inserted, duplicates: duplicates, tokens: tokens,
      lastOrder: result.integer("last_order").map(UInt64.init))
  }
}

/// `session.open`
public struct SessionOpened: WireResult, Equatable {
  public var session: String
  public var promptTokens: Int
  /// Tokens of the prompt that the parent had indexed already.
  public var reusedTokens: Int

  public init(session: String, promptTokens: Int, reusedTokens: Int) {
    self.session = session
    self.promptTokens = promptTokens
    self.reusedTokens = reusedTokens
  }

  public func write(to writer: inout JSONWriter) {
    writer.name("session")
    writer.string(session)
    writer.name("prompt_tokens")
    writer.integer(promptTokens)
    writer.name("reused_tokens")
    writer.integer(reusedTokens)
  }

  public init?(result: ResultObject) {
    guard let session = result.string("session"),
      let promptTokens = result.integer("prompt_tokens"),
      let reusedTokens = result.integer("reused_tokens")
    else { return nil }
    self.init(session: session, promptTokens: promptTokens, reusedTokens: reusedTokens)
  }
}

/// `session.close`
public struct SessionClosed: WireResult, Equatable {
  public var recordedTokens: Int
  /// Order number of the recorded sequence; nil if nothing was recorded.
  public var order: UInt64?

  public init(recordedTokens: Int, order: UInt64?) {
    self.recordedTokens = recordedTokens
    self.order = order
  }

  public func write(to writer: inout JSONWriter) {
    writer.name("recorded_tokens")
    writer.integer(recordedTokens)
    writer.name("order")
    if let order { writer.integer(order) } else { writer.null() }
  }

  public init?(result: ResultObject) {
    guard let recordedTokens = result.integer("recorded_tokens") else { return nil }
    self.init(
      recordedTokens: recordedTokens, order: result.integer("order").map(UInt64.init))
  }
}
