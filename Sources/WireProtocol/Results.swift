import Drafting

/// The result of a method: written by the service, read by clients.
public protocol WireResult: Sendable {
  /// Writes the members of `result`.
  func write(to writer: inout JSONWriter)
  /// Reads `result`. Unknown members are ignored, so that a newer service may send more; returns
  /// nil if a required member is missing.
  init?(result: ResultObject)
}

/// The members of a `result`, by name; valid until the answer's parser parses another text.
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

  /// The strings of an array; nil if the member is missing or holds something else.
  func strings(_ name: String) -> [String]? {
    guard let list = member(name), list.kind == .array else { return nil }
    var strings: [String] = []
    list.forEachElement { (_, value) in
      if value.kind == .string { strings.append(value.string) }
    }
    return strings.count == list.count ? strings : nil
  }
}

/// The service's version, limits and uptime: the result of `server.info`.
public struct ServerInfo: WireResult, Equatable {
  public var name = "reprise"
  public var version: String
  /// The version of the protocol.
  public var protocolVersion = 1
  /// The values of the limits by their names on the wire.
  public var limits: [String: Int]
  /// Bytes of the longest line that an event loop reads itself. A longer line, and all that its
  /// connection sends after it, waits for another thread.
  public var eventLoopLineBytes: Int
  public var uptimeSeconds: Double

  public init(
    version: String, limits: [String: Int], eventLoopLineBytes: Int, uptimeSeconds: Double
  ) {
    self.version = version
    self.limits = limits
    self.eventLoopLineBytes = eventLoopLineBytes
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
    writer.name("event_loop_line_bytes")
    writer.integer(eventLoopLineBytes)
    writer.name("uptime_s")
    writer.number(uptimeSeconds)
  }

  public init?(result: ResultObject) {
    guard let version = result.string("version"), let uptime = result.double("uptime_s"),
      let eventLoopLineBytes = result.integer("event_loop_line_bytes")
    else { return nil }
    var limits: [String: Int] = [:]
    result.member("limits")?.forEachMember { (name, value) in limits[name] = Int(value.integer) }
    self.init(
      version: version, limits: limits, eventLoopLineBytes: eventLoopLineBytes,
      uptimeSeconds: uptime)
    name = result.string("name") ?? name
    protocolVersion = result.integer("protocol") ?? protocolVersion
  }
}

/// The state of the service: the result of `health.live` and `health.ready`.
public struct Health: WireResult, Equatable {
  /// True if the service lives, or is ready.
  public var ok: Bool
  /// Conditions that must still be met before requests are answered.
  public var awaited: [String]

  public init(ok: Bool, awaited: [String] = []) {
    self.ok = ok
    self.awaited = awaited
  }

  public func write(to writer: inout JSONWriter) {
    writer.name("ok")
    writer.bool(ok)
    writer.name("awaited")
    writer.strings(awaited)
  }

  public init?(result: ResultObject) {
    guard let ok = result.bool("ok") else { return nil }
    self.init(ok: ok)
    result.member("awaited")?.forEachElement { (_, value) in awaited.append(value.string) }
  }
}

/// The outcome of `sequence.insert`.
public struct Inserted: WireResult, Equatable {
  /// Sequences that are new in the corpus.
  public var inserted: Int
  /// Sequences that the corpus already held with the same id and tokens.
  public var duplicates: Int
  public var tokens: Int
  /// Order number of the last new sequence; nil if none was new.
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

/// The outcome of `sequence.forget`.
public struct Forgotten: WireResult, Equatable {
  /// Sequences that were removed, and tokens in them.
  public var forgotten: Int
  public var tokens: Int
  /// Ids that no sequence has.
  public var missing: Int
  /// Older snapshots of the corpus, which still hold the removed sequences if they held them
  /// before.
  public var olderSnapshots: [String]

  public init(forgotten: Int, tokens: Int, missing: Int, olderSnapshots: [String]) {
    self.forgotten = forgotten
    self.tokens = tokens
    self.missing = missing
    self.olderSnapshots = olderSnapshots
  }

  public func write(to writer: inout JSONWriter) {
    writer.name("forgotten")
    writer.integer(forgotten)
    writer.name("tokens")
    writer.integer(tokens)
    writer.name("missing")
    writer.integer(missing)
    writer.name("older_snapshots")
    writer.strings(olderSnapshots)
  }

  public init?(result: ResultObject) {
    guard let forgotten = result.integer("forgotten"), let tokens = result.integer("tokens"),
      let missing = result.integer("missing"),
      let olderSnapshots = result.strings("older_snapshots")
    else { return nil }
    self.init(
      forgotten: forgotten, tokens: tokens, missing: missing, olderSnapshots: olderSnapshots)
  }
}

/// The result of `session.open`.
public struct SessionOpened: WireResult, Equatable {
  public var session: String
  public var promptTokens: Int
  /// Tokens of the prompt that the parent session had indexed already.
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

/// The result of `session.close`.
public struct SessionClosed: WireResult, Equatable {
  public var recordedTokens: Int
  /// Order number of the recorded sequence; nil if nothing was recorded.
  public var order: UInt64?
  /// The reason why nothing was recorded; nil if something was.
  public var unrecordedReason: UnrecordedReason?

  /// The reasons why an output is not recorded.
  public enum UnrecordedReason: String, CaseIterable, Sendable {
    /// The call set `record` to false.
    case record
    /// The session was opened with `share` "never".
    case share
    /// The session has no output.
    case empty
    /// The corpus is served from a snapshot.
    case readOnly = "read_only"
    /// The output is longer than all the history that the corpus keeps.
    case retention
  }

  public init(
    recordedTokens: Int, order: UInt64?, unrecordedReason: UnrecordedReason? = nil
  ) {
    self.recordedTokens = recordedTokens
    self.order = order
    self.unrecordedReason = unrecordedReason
  }

  public func write(to writer: inout JSONWriter) {
    writer.name("recorded_tokens")
    writer.integer(recordedTokens)
    writer.name("order")
    if let order { writer.integer(order) } else { writer.null() }
    writer.name("unrecorded_reason")
    if let unrecordedReason { writer.string(unrecordedReason.rawValue) } else { writer.null() }
  }

  public init?(result: ResultObject) {
    guard let recordedTokens = result.integer("recorded_tokens") else { return nil }
    self.init(
      recordedTokens: recordedTokens, order: result.integer("order").map(UInt64.init),
      unrecordedReason: result.string("unrecorded_reason").flatMap(UnrecordedReason.init))
  }
}
