import RepriseModel

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
  func corpusName(_ name: String) -> CorpusName? { string(name).flatMap(CorpusName.init) }
  func bool(_ name: String) -> Bool? { member(name).map(\.bool) }

  /// The token ids of an array; nil if the member is missing or holds something else.
  func tokens(_ name: String) -> [Int32]? {
    guard let list = member(name), list.kind == .array else { return nil }
    var tokens: [Int32] = []
    return list.appendTokens(to: &tokens) == list.count ? tokens : nil
  }

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
  public var limits: [LimitName: Int]
  /// Bytes of the longest line that an event loop reads itself. A longer line, and all that its
  /// connection sends after it, waits for another thread.
  public var eventLoopLineBytes: Int
  public var uptimeSeconds: Double

  public init(
    version: String, limits: [LimitName: Int], eventLoopLineBytes: Int, uptimeSeconds: Double
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
    for (name, value) in limits.sorted(by: { $0.key.rawValue < $1.key.rawValue }) {
      writer.name(of: name.rawValue)
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
    var limits: [LimitName: Int] = [:]
    result.member("limits")?.forEachMember { (name, value) in
      if let name = LimitName(rawValue: name) { limits[name] = Int(value.integer) }
    }
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
