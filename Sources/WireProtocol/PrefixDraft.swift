import RepriseModel

/// The body that an engine's external drafter posts over HTTP: all tokens of a request so far, to
/// which it wants a continuation. The members are those that TensorRT-LLM's `APIDrafter` sends, and
/// those that its template adds.
public struct PrefixDraft: Equatable, Sendable {
  public var corpus: CorpusName
  /// Prompt and output.
  public var prefix: [Int32]
  /// The engine's id of the request; nil drafts from the shared history alone.
  public var request: RequestID?
  /// The token that ends an output; no token follows it.
  public var endToken: Int32?
  /// The most tokens that prompt and output may have together.
  public var lengthMax: Int?
  /// An access token, for clients that cannot send a header.
  public var accessToken: String?
  public var share = SharePolicy.live
  public var options = DraftOptions()

  /// Reads a body. Keep one per thread: its buffers are used again.
  public final class Reader {
    private let limits: Limits
    private let document: JSONDocument

    public init(limits: Limits) {
      self.limits = limits
      document = JSONDocument(bytesMax: limits.lineBytesMax, depthMax: Limits.nestingMax)
    }

    public func read(_ body: RawSpan) throws(WireError) -> PrefixDraft {
      let root: JSONValue
      do throws(JSONDocument.SyntaxError) {
        root = try document.parse(body)
      } catch {
        throw WireError(.parseError, "the body is not JSON: \(error.reason)")
      }
      guard root.kind == .object else {
        throw WireError(
          .invalidRequest, "the body must be an object of \"corpus\", \"prefix\" and \"request_id\""
        )
      }
      return try PrefixDraft(root, limits)
    }
  }

  private init(_ body: JSONValue, _ limits: Limits) throws(WireError) {
    var (corpus, accessToken): (CorpusName?, String?)
    var prefix: [Int32]?
    var request: RequestID?
    var (endToken, lengthMax): (Int?, Int?)
    var share: SharePolicy?
    var options = DraftOptionsReader()
    try body.forEachMember(of: "body") { (name, member) throws(WireError) in
      switch name {
      case "corpus": try member.set(&corpus, member.corpusToFind())
      case "prefix":
        var read: [Int32] = []
        _ = try member.tokens(.promptTokens, max: limits.promptTokensMax, to: &read)
        try member.set(&prefix, read)
      case "request_id":
        guard let id = RequestID(member.value) else {
          throw member.wrong("an integer, or a string of at most \(RequestID.bytesMax) bytes")
        }
        try member.set(&request, id)
      // Engines send −1, or null, if there is no end token.
      case "end_id":
        if member.value.kind != .null {
          try member.set(&endToken, member.integer(-1...Int(Int32.max)))
        }
      case "max_sequence_length":
        if member.value.kind != .null {
          try member.set(&lengthMax, member.integer(0...Int(Int32.max)))
        }
      case "token":
        try member.set(
          &accessToken, member.name(.accessTokenBytes, bytesMax: limits.accessTokenBytesMax))
      case "share":
        guard let value = SharePolicy(rawValue: member.value.string) else {
          throw member.wrong("\"live\", \"close\" or \"never\"")
        }
        try member.set(&share, value)
      // A list of tokens is a path, so `tree` has no meaning.
      case "tree": throw member.unknown
      default: try options.read(name, member, limits)
      }
    }
    self.corpus = try required(corpus, "corpus", in: "body")
    self.prefix = try required(prefix, "prefix", in: "body")
    self.request = request == .null ? nil : request
    self.endToken = endToken.flatMap { $0 < 0 ? nil : Int32(exactly: $0) }
    self.lengthMax = lengthMax
    self.accessToken = accessToken
    self.share = share ?? .live
    self.options = options.options
  }
}

/// The response to a `POST /v1/draft` request.
public struct PrefixDrafted: WireResult {
  public var tokens: [Int32]

  public init(tokens: [Int32]) { self.tokens = tokens }

  public func write(to writer: inout JSONWriter) {
    writer.name("draft_tokens")
    writer.integers(tokens)
  }

  public init?(result: ResultObject) {
    guard let list = result.member("draft_tokens"), list.kind == .array else { return nil }
    tokens = []
    if list.appendTokens(to: &tokens) != list.count { return nil }
  }
}
