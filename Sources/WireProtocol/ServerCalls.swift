import RepriseModel

/// `server.authenticate`: presents an access token for the following requests of the connection.
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
        &token, member.name(.accessTokenBytes, bytesMax: limits.accessTokenBytesMax))
    }
    self.init(token: try required(token, "token"))
  }

  func write(to writer: inout JSONWriter) {
    writer.name("token")
    writer.string(token)
  }
}

/// The holder and rights of an access token: the result of `server.authenticate`.
public struct Authenticated: WireResult, Equatable {
  /// The name that the token was created for.
  public var name: String
  /// One or more of "draft", "insert" and "admin".
  public var rights: [String]
  /// Names of corpora, or prefixes of names with '*' behind.
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

/// The metrics of the service in Prometheus's text format: the result of `server.metrics`.
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
