/// The bounds of what the service accepts. Each has its own error, which names the bound in the
/// wire's spelling; flags, environment and configuration file set the bound under that name.
public struct Limits: Equatable, Sendable {
  // MARK: Lines

  /// Bytes in one line.
  public var lineBytesMax = 16 << 20
  /// Bytes in the answer to one line. Beyond them no more drafts are made for the line, and no more
  /// of its requests are carried out.
  public var answerBytesMax = 16 << 20
  /// Requests in one batch array.
  public var batchRequestsMax = 1024
  /// Tokens in a context of `speculate`; all but the last `depth − 1` are ignored anyway.
  public var contextTokensMax = 1 << 20
  /// Contexts in one `speculate`.
  public var contextsMax = 4096
  /// Tokens in a prompt of `session.open`.
  public var promptTokensMax = 1 << 20
  /// Steps in one `session.step`.
  public var stepsMax = 4096
  /// Tokens accepted in one step.
  public var acceptTokensMax = 1 << 16
  /// The largest value of `max_tokens`.
  public var draftTokensMax = 1024
  /// Sequences in one `sequence.insert`.
  public var sequencesMax = 1 << 16
  /// Tokens in one sequence.
  public var sequenceTokensMax = 1 << 20
  /// Bytes in the name of a session.
  public var sessionNameBytesMax = 128
  /// Bytes in a sequence's id.
  public var sequenceIDBytesMax = 256
  /// Bytes in the name of a tokenizer.
  public var tokenizerBytesMax = 256
  /// Ids in one `sequence.forget`.
  public var forgetIDsMax = 1 << 16
  /// Bytes in the name of a snapshot.
  public var snapshotNameBytesMax = 128
  /// Bytes in the path of a snapshot's file: the system's own bound.
  public var pathBytesMax = 4096
  /// Bytes in an access token.
  public var accessTokenBytesMax = 256

  // MARK: Connections

  /// Connections that are open at once.
  public var connectionsMax = 1024
  /// Requests of one connection that wait for their answers at once.
  public var pipelinedRequestsMax = 1024
  /// Seconds in which a line that has begun must end, and in which a connection must present its
  /// access token if one is required.
  public var lineSecondsMax = 30
  /// Seconds in which a client must read some of the answers that wait for it.
  public var answerSecondsMax = 30
  /// Seconds without a request after which a connection is closed.
  public var idleSecondsMax = 3600
  /// Requests a second for one access token, or for all connections together if no tokens are
  /// configured.
  public var requestsPerSecondMax = 1 << 20

  // MARK: Sessions

  /// Open sessions in all.
  public var sessionsMax = 4096
  /// Open sessions that one connection has opened.
  public var connectionSessionsMax = 2048
  /// Tokens in prompts and outputs of all open sessions together, at some 60 to 100 bytes each.
  public var sessionTokensMax = 64 << 20
  /// Tokens in prompts and outputs of sessions that one connection has opened.
  public var connectionSessionTokensMax = 32 << 20

  // MARK: Resources

  /// Corpora in the store.
  public var corporaMax = 256
  /// Bytes on disk of all corpora.
  public var storeBytesMax = 1 << 44
  /// Anonymous memory (not backed by a file) in bytes. Beyond it no session is opened.
  public var memoryBytesMax = 1 << 40

  public init() {}

  /// Smallest and largest `depth` of a corpus.
  public static let depthRange = 2...127
  /// Deepest nesting of a line. The protocol itself needs six levels.
  public static let nestingMax = 16
}

/// One bound: its name on the wire, its place in `Limits`, and the range of its values.
public struct Limit: Sendable {
  public let name: String
  public let keyPath: WritableKeyPath<Limits, Int> & Sendable
  public let range: ClosedRange<Int>

  private init(
    _ name: String, _ keyPath: WritableKeyPath<Limits, Int> & Sendable, _ range: ClosedRange<Int>
  ) {
    self.name = name
    self.keyPath = keyPath
    self.range = range
  }

  /// All bounds.
  public static let all: [Limit] = [
    Limit("line_bytes", \.lineBytesMax, 1024...(1 << 30)),
    Limit("answer_bytes", \.answerBytesMax, 1024...(1 << 30)),
    Limit("batch_requests", \.batchRequestsMax, 1...(1 << 16)),
    Limit("context_tokens", \.contextTokensMax, 1...(1 << 24)),
    Limit("contexts", \.contextsMax, 1...(1 << 16)),
    Limit("prompt_tokens", \.promptTokensMax, 1...(1 << 24)),
    Limit("steps", \.stepsMax, 1...(1 << 16)),
    Limit("accept_tokens", \.acceptTokensMax, 1...(1 << 24)),
    Limit("max_tokens", \.draftTokensMax, 1...(1 << 16)),
    Limit("sequences", \.sequencesMax, 1...(1 << 20)),
    Limit("sequence_tokens", \.sequenceTokensMax, 1...(1 << 20)),
    Limit("session_name_bytes", \.sessionNameBytesMax, 1...1024),
    Limit("sequence_id_bytes", \.sequenceIDBytesMax, 1...256),
    Limit("tokenizer_bytes", \.tokenizerBytesMax, 1...256),
    Limit("forget_ids", \.forgetIDsMax, 1...(1 << 20)),
    Limit("snapshot_name_bytes", \.snapshotNameBytesMax, 1...128),
    Limit("path_bytes", \.pathBytesMax, 1...4096),
    Limit("access_token_bytes", \.accessTokenBytesMax, 32...4096),
    Limit("connections", \.connectionsMax, 1...(1 << 16)),
    Limit("pipelined_requests", \.pipelinedRequestsMax, 1...(1 << 16)),
    Limit("line_seconds", \.lineSecondsMax, 1...86_400),
    Limit("answer_seconds", \.answerSecondsMax, 1...86_400),
    Limit("idle_seconds", \.idleSecondsMax, 1...(366 * 86_400)),
    Limit("requests_per_second", \.requestsPerSecondMax, 1...(1 << 20)),
    Limit("sessions", \.sessionsMax, 1...(1 << 20)),
    Limit("connection_sessions", \.connectionSessionsMax, 1...(1 << 20)),
    Limit("session_tokens", \.sessionTokensMax, 1...(1 << 40)),
    Limit("connection_session_tokens", \.connectionSessionTokensMax, 1...(1 << 40)),
    Limit("corpora", \.corporaMax, 1...(1 << 16)),
    Limit("store_bytes", \.storeBytesMax, 1...(1 << 50)),
    Limit("memory_bytes", \.memoryBytesMax, (1 << 20)...(1 << 50)),
  ]
}
