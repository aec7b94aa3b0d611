/// The bounds of what the service accepts. Each has a name, under which it is set by flag, environment
/// or file, and which the error names when a request exceeds it; see `LimitName`.
public struct Limits: Equatable, Sendable {
  // MARK: Lines

  /// The most bytes in one line.
  public var lineBytesMax = 16 << 20
  /// The size in bytes of the answer to one line beyond which no more drafts are made for it and no more
  /// of its requests are carried out.
  public var answerBytesMax = 16 << 20
  /// The most requests in one batch array.
  public var batchRequestsMax = 1024
  /// The most tokens in a context of `speculate`; all but the last `depth − 1` are ignored anyway.
  public var contextTokensMax = 1 << 20
  /// The most contexts in one `speculate`.
  public var contextsMax = 4096
  /// The most tokens in a prompt of `session.open`.
  public var promptTokensMax = 1 << 20
  /// The most steps in one `session.step`.
  public var stepsMax = 4096
  /// The most tokens accepted in one step.
  public var acceptTokensMax = 1 << 16
  /// The largest value of `max_tokens`.
  public var draftTokensMax = 1024
  /// The most sequences in one `sequence.insert`.
  public var sequencesMax = 1 << 16
  /// The most tokens in one sequence.
  public var sequenceTokensMax = 1 << 20
  /// The most bytes in the name of a session.
  public var sessionNameBytesMax = 128
  /// The most bytes in the id of a sequence.
  public var sequenceIDBytesMax = NewSequence.idBytesMax
  /// The most bytes in the name of a tokenizer.
  public var tokenizerBytesMax = CorpusSettings.tokenizerBytesMax
  /// The most ids in one `sequence.forget`.
  public var forgetIDsMax = 1 << 16
  /// The most bytes in the name of a snapshot.
  public var snapshotNameBytesMax = SnapshotReference.nameBytesMax
  /// The most bytes in the path of a snapshot's file: the limit of the system.
  public var pathBytesMax = 4096
  /// The most bytes in an access token.
  public var accessTokenBytesMax = 256

  // MARK: Connections

  /// The most connections at once.
  public var connectionsMax = 1024
  /// The most requests of one connection that wait for their answers at once.
  public var pipelinedRequestsMax = 1024
  /// Seconds within which a line that has begun must end, and within which a connection must present its
  /// access token where one is needed.
  public var lineSecondsMax = 30
  /// Seconds within which a client must read some of the answers that wait for it.
  public var answerSecondsMax = 30
  /// Seconds without a request after which a connection is closed.
  public var idleSecondsMax = 3600
  /// The most requests a second for one access token, or for all connections where there are no tokens.
  public var requestsPerSecondMax = 1 << 20

  // MARK: Sessions

  /// The most open sessions in all.
  public var sessionsMax = 4096
  /// The most open sessions that one connection has opened.
  public var connectionSessionsMax = 2048
  /// The most tokens in prompts and outputs of all open sessions, at some 60 to 100 bytes each.
  public var sessionTokensMax = 64 << 20
  /// The most tokens in prompts and outputs of the open sessions that one connection has opened.
  public var connectionSessionTokensMax = 32 << 20

  // MARK: Resources

  /// The most corpora in the store.
  public var corporaMax = 256
  /// The most bytes on disk of all corpora.
  public var storeBytesMax = 1 << 44
  /// The most bytes of memory that no file backs. Beyond them no session is opened.
  public var memoryBytesMax = 1 << 40

  public init() {}

  /// The deepest nesting of a line. The protocol itself needs six levels.
  public static let nestingMax = 16
}

/// The name of a bound in answers, flags and metrics.
public enum LimitName: String, CaseIterable, Sendable {
  // MARK: Those that can be set, in `Limit.all`

  case lineBytes = "line_bytes"
  case answerBytes = "answer_bytes"
  case batchRequests = "batch_requests"
  case contextTokens = "context_tokens"
  case contexts
  case promptTokens = "prompt_tokens"
  case steps
  case acceptTokens = "accept_tokens"
  case maxTokens = "max_tokens"
  case sequences
  case sequenceTokens = "sequence_tokens"
  case sessionNameBytes = "session_name_bytes"
  case sequenceIDBytes = "sequence_id_bytes"
  case tokenizerBytes = "tokenizer_bytes"
  case forgetIDs = "forget_ids"
  case snapshotNameBytes = "snapshot_name_bytes"
  case pathBytes = "path_bytes"
  case accessTokenBytes = "access_token_bytes"
  case connections
  case pipelinedRequests = "pipelined_requests"
  case lineSeconds = "line_seconds"
  case answerSeconds = "answer_seconds"
  case idleSeconds = "idle_seconds"
  case requestsPerSecond = "requests_per_second"
  case sessions
  case connectionSessions = "connection_sessions"
  case sessionTokens = "session_tokens"
  case connectionSessionTokens = "connection_session_tokens"
  case corpora
  case storeBytes = "store_bytes"
  case memoryBytes = "memory_bytes"

  // MARK: Those that stand beside the value that they bound

  case bodyBytes = "body_bytes"
  case corpusNameBytes = "corpus_name_bytes"
  case headBytes = "head_bytes"
  case httpConnections = "http_connections"
  case engineBytes = "engine_bytes"
  case policyBytes = "policy_bytes"
  case retentionTokens = "retention_tokens"
  case retentionSequences = "retention_sequences"
}

/// A bound that can be set: its name, its property of `Limits`, and the range of its values.
public struct Limit: Sendable {
  public let name: LimitName
  public let keyPath: WritableKeyPath<Limits, Int> & Sendable
  public let range: ClosedRange<Int>

  private init(
    _ name: LimitName, _ keyPath: WritableKeyPath<Limits, Int> & Sendable,
    _ range: ClosedRange<Int>
  ) {
    self.name = name
    self.keyPath = keyPath
    self.range = range
  }

  public static let all: [Limit] = [
    Limit(.lineBytes, \.lineBytesMax, 1024...(1 << 30)),
    Limit(.answerBytes, \.answerBytesMax, 1024...(1 << 30)),
    Limit(.batchRequests, \.batchRequestsMax, 1...(1 << 16)),
    Limit(.contextTokens, \.contextTokensMax, 1...(1 << 24)),
    Limit(.contexts, \.contextsMax, 1...(1 << 16)),
    Limit(.promptTokens, \.promptTokensMax, 1...(1 << 24)),
    Limit(.steps, \.stepsMax, 1...(1 << 16)),
    Limit(.acceptTokens, \.acceptTokensMax, 1...(1 << 24)),
    Limit(.maxTokens, \.draftTokensMax, 1...(1 << 16)),
    Limit(.sequences, \.sequencesMax, 1...(1 << 20)),
    Limit(.sequenceTokens, \.sequenceTokensMax, 1...(1 << 20)),
    Limit(.sessionNameBytes, \.sessionNameBytesMax, 1...1024),
    Limit(.sequenceIDBytes, \.sequenceIDBytesMax, 1...NewSequence.idBytesMax),
    Limit(.tokenizerBytes, \.tokenizerBytesMax, 1...CorpusSettings.tokenizerBytesMax),
    Limit(.forgetIDs, \.forgetIDsMax, 1...(1 << 20)),
    Limit(.snapshotNameBytes, \.snapshotNameBytesMax, 1...SnapshotReference.nameBytesMax),
    Limit(.pathBytes, \.pathBytesMax, 1...4096),
    Limit(.accessTokenBytes, \.accessTokenBytesMax, 32...4096),
    Limit(.connections, \.connectionsMax, 1...(1 << 16)),
    Limit(.pipelinedRequests, \.pipelinedRequestsMax, 1...(1 << 16)),
    Limit(.lineSeconds, \.lineSecondsMax, 1...86_400),
    Limit(.answerSeconds, \.answerSecondsMax, 1...86_400),
    Limit(.idleSeconds, \.idleSecondsMax, 1...(366 * 86_400)),
    Limit(.requestsPerSecond, \.requestsPerSecondMax, 1...(1 << 20)),
    Limit(.sessions, \.sessionsMax, 1...(1 << 20)),
    Limit(.connectionSessions, \.connectionSessionsMax, 1...(1 << 20)),
    Limit(.sessionTokens, \.sessionTokensMax, 1...(1 << 40)),
    Limit(.connectionSessionTokens, \.connectionSessionTokensMax, 1...(1 << 40)),
    Limit(.corpora, \.corporaMax, 1...(1 << 16)),
    Limit(.storeBytes, \.storeBytesMax, 1...(1 << 50)),
    Limit(.memoryBytes, \.memoryBytesMax, (1 << 20)...(1 << 50)),
  ]
}
