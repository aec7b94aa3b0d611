/// `server.authenticate`: presents an access token, for all that follows on the connection.
public struct ServerAuthenticate: Equatable, Sendable {
  public var token: String

  public init(token: String) {
    self.token = token
  }

  init(_ params: JSONValue?, _ limits: Limits) throws(WireError) {
    var token: String?
    try params?.forEachMember(of: "params") { (name, member) throws(WireError) in
      guard name == "token" else { throw member.unknown }
      try member.set(
        &token, member.name("access_token_bytes", bytesMax: limits.accessTokenBytesMax))
    }
    self.init(token: try required(token, "token"))
  }

  func write(to writer: inout JSONWriter) {
    writer.name("token")
    writer.string(token)
  }
}

/// `server.authenticate`
public struct Authenticated: WireResult, Equatable {
  /// Whom the token was made for.
  public var name: String
  /// Of "draft", "insert" and "admin".
  public var rights: [String]
  /// Names of corpora, or what they begin with, and '*'.
  public var corpora: [String]

  public init(name: String, rights: [String], corpora: [String]) {
    self.name = name
    self.rights = rights
    self.corpora = corpora
  }

  public func write(to writer: inout JSONWriter) {
    writer.name("name")
    writer.string(name)
    writer.name("rights")
    writer.strings(rights)
    writer.name("corpora")
    writer.strings(corpora)
  }

  public init?(result: ResultObject) {
    guard let name = result.string("name"), let rights = result.strings("rights"),
      let corpora = result.strings("corpora")
    else { return nil }
    self.init(name: name, rights: rights, corpora: corpora)
  }
}

/// `server.metrics`: what the service counts and measures, as Prometheus reads it.
public struct ServerMetrics: WireResult, Equatable {
  public var text: String

  public init(text: String) {
    self.text = text
  }

  public func write(to writer: inout JSONWriter) {
    writer.name("text")
    writer.string(text)
  }

  public init?(result: ResultObject) {
    guard let text = result.string("text") else { return nil }
    self.init(text: text)
  }
}
