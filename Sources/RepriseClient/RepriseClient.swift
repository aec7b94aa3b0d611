import Drafting
import NIOConcurrencyHelpers
import NIOCore
import NIOPosix
import WireProtocol

/// A connection to a Reprise service, made again whenever it is lost.
///
/// Any number of calls may be under way at once, from any task; they share one connection and are
/// answered as they are ready. Nothing here waits longer than a call's deadline: a service that is
/// slow, gone or lying costs a worker an error, which it treats as an empty draft.
///
///     let client = RepriseClient(.unixSocket(path: "/run/reprise.sock"))
///     try await client.createCorpus("qwen3-coder")
///     let session = try await client.openSession(corpus: "qwen3-coder", prompt: prompt)
///     var draft = try await session.step()
///     while let accepted = model.verify(draft) {
///       draft = try await session.step(accepting: accepted)
///     }
///     try await session.close()
public final class RepriseClient: Sendable {
  public enum Address: Equatable, Sendable {
    case unixSocket(path: String)
    case tcp(host: String, port: Int)
  }

  public struct Configuration: Sendable {
    /// Longest wait for an answer that needs no disk, where a call names no deadline.
    public var deadline: Duration = .seconds(1)
    /// The same for calls that are answered when something is on disk.
    public var writeDeadline: Duration = .seconds(30)
    /// The same for operators' calls, which read or rewrite whole corpora.
    public var operationDeadline: Duration = .seconds(3600)
    /// After a failed attempt to connect, calls fail at once for this long, so that a dead service
    /// costs nothing. Doubled with each failure, up to `reconnectDelayMax`.
    public var reconnectDelay: Duration = .milliseconds(50)
    public var reconnectDelayMax: Duration = .seconds(2)
    /// Calls that may be under way at once.
    public var callsMax = 4096
    /// Longest answer.
    public var lineBytesMax = 64 << 20
    /// Presented on each new connection, where the service has an access file.
    public var accessToken: String?
    /// What a connection over TCP is encrypted with; nil leaves it as it is.
    public var tls: TLS?

    public init() {}
  }

  /// PEM files for an encrypted connection.
  public struct TLS: Sendable {
    /// Certificates of authorities that the service's certificate may come from; nil for the
    /// system's.
    public var authority: String?
    /// This client's own certificate and key, where the service asks for one.
    public var certificate: String?
    public var key: String?

    public init(authority: String? = nil, certificate: String? = nil, key: String? = nil) {
      self.authority = authority
      self.certificate = certificate
      self.key = key
    }
  }

  public let address: Address
  public let configuration: Configuration
  private let group: MultiThreadedEventLoopGroup
  private let link: Link

  /// Makes a client. The first call connects.
  public init(_ address: Address, configuration: Configuration = Configuration()) {
    self.address = address
    self.configuration = configuration
    group = MultiThreadedEventLoopGroup.singleton
    link = Link(address, configuration, group.next())
  }

  /// Ends the connection. Calls under way fail with `disconnected`, later ones with `closed`.
  public func close() async {
    await link.close()
  }

  // MARK: The protocol

  public func serverInfo(deadline: Duration? = nil) async throws(ClientError) -> ServerInfo {
    try await call(.serverInfo, deadline)
  }

  /// Whether the service runs.
  public func isLive(deadline: Duration? = nil) async throws(ClientError) -> Health {
    try await call(.healthLive, deadline)
  }

  /// Whether the service answers drafts.
  public func isReady(deadline: Duration? = nil) async throws(ClientError) -> Health {
    try await call(.healthReady, deadline)
  }

  /// All that the service counts and measures, in Prometheus's text format 0.0.4. Needs an access token
  /// for all corpora, where there are tokens.
  public func metrics(deadline: Duration? = nil) async throws(ClientError) -> String {
    let metrics: ServerMetrics = try await call(.serverMetrics, deadline)
    return metrics.text
  }

  /// Tells the service what became of this client's steps since its last report, for its metrics.
  ///
  /// - Returns: The name under which they are counted.
  @discardableResult
  public func report(
    _ report: ClientReport, deadline: Duration? = nil
  ) async throws(ClientError) -> ClientReported {
    try await call(.clientReport(report), deadline)
  }

  /// Makes a corpus, or finds the one that stands with the same settings.
  ///
  /// - Parameters:
  ///   - tokenizer: Inserts that name another are refused.
  ///   - depth: Longest pattern whose count is kept, in tokens.
  ///   - retention: How much history is kept; all of it where no bound is given.
  ///   - durability: When what was acknowledged is on disk.
  ///   - vocabulary: Token ids are below it, others are refused; nil has no bound.
  @discardableResult
  public func createCorpus(
    _ name: String, tokenizer: String? = nil, depth: Int = 64,
    retention: CorpusRetention = CorpusRetention(), durability: CorpusDurability = .commit,
    vocabulary: Int? = nil, deadline: Duration? = nil
  ) async throws(ClientError) -> CorpusDescription {
    try await call(
      .corpusCreate(
        CorpusCreate(
          corpus: name, tokenizer: tokenizer, depth: depth, retention: retention,
          durability: durability, vocabulary: vocabulary)),
      deadline ?? configuration.writeDeadline)
  }

  public func corpora(deadline: Duration? = nil) async throws(ClientError) -> [CorpusStatistics] {
    let list: CorpusList = try await call(.corpusList, deadline)
    return list.corpora
  }

  public func stats(
    ofCorpus name: String, deadline: Duration? = nil
  ) async throws(ClientError) -> CorpusStatistics {
    try await call(.corpusStats(corpus: name), deadline)
  }

  /// Removes a corpus and its file, for good.
  @discardableResult
  public func dropCorpus(
    _ name: String, deadline: Duration? = nil
  ) async throws(ClientError) -> CorpusDropped {
    try await call(
      .corpusDrop(CorpusDrop(corpus: name)), deadline ?? configuration.writeDeadline)
  }

  /// Adds finished sequences. When this returns they are on disk.
  @discardableResult
  public func insert(
    _ sequences: [SequenceInsert.Sequence], into corpus: String, tokenizer: String? = nil,
    deadline: Duration? = nil
  ) async throws(ClientError) -> Inserted {
    try await call(
      .sequenceInsert(
        SequenceInsert(corpus: corpus, sequences: sequences, tokenizer: tokenizer)),
      deadline ?? configuration.writeDeadline)
  }

  /// Drafts what follows a context, from the shared history.
  public func speculate(
    _ context: [Int32], corpus: String, _ options: DraftOptions = DraftOptions(),
    deadline: Duration? = nil
  ) async throws(ClientError) -> Draft {
    try await call(
      .speculate(Speculate(corpus: corpus, context: context, options: options)), deadline)
  }

  /// Drafts what follows each of several contexts, in one exchange.
  public func speculate(
    contexts: [[Int32]], corpus: String, _ options: DraftOptions = DraftOptions(),
    deadline: Duration? = nil
  ) async throws(ClientError) -> [Result<Draft, WireError>] {
    let list: DraftList = try await call(
      .speculate(Speculate(corpus: corpus, contexts: contexts, options: options)), deadline)
    guard list.drafts.count == contexts.count else { throw .malformedAnswer }
    return list.drafts
  }

  /// Begins a session for one request that is to be decoded.
  ///
  /// - Parameter vocabulary: No token id at or above it is drafted.
  public func openSession(
    corpus: String, prompt: [Int32], name: String? = nil, parent: String? = nil,
    share: SessionOpen.Share = .live, ttlSeconds: Int? = nil, vocabulary: Int = Int(Int32.max),
    deadline: Duration? = nil
  ) async throws(ClientError) -> Session {
    let opened: SessionOpened = try await call(
      .sessionOpen(
        SessionOpen(
          corpus: corpus, session: name, prompt: prompt, parent: parent, share: share,
          ttlSeconds: ttlSeconds, vocabulary: vocabulary)),
      deadline)
    return Session(client: self, opened: opened)
  }

  /// One decoding step of any number of sessions, in one exchange: in as many lines as the service's
  /// event loops read at once, sent together.
  ///
  /// - Returns: For each step, in order, a draft or an error of its own.
  public func step(
    _ steps: SessionStep, deadline: Duration? = nil
  ) async throws(ClientError) -> [Result<Draft, WireError>] {
    let parts = steps.split(lineBytesMax: link.lineBytesAtOnce)
    let lists: [Result<DraftList, ClientError>] = await link.calls(
      parts.map(Call.sessionStep), deadline: deadline ?? configuration.deadline)
    var drafts: [Result<Draft, WireError>] = []
    for list in lists { drafts += try list.get().drafts }
    guard drafts.count == steps.steps.count else { throw .malformedAnswer }
    return drafts
  }

  /// Ends a session. When this returns, its output is on disk (unless it is not to be recorded).
  @discardableResult
  public func closeSession(
    _ name: String, record: Bool = true, deadline: Duration? = nil
  ) async throws(ClientError) -> SessionClosed {
    try await call(
      .sessionClose(SessionClose(session: name, record: record)),
      deadline ?? configuration.writeDeadline)
  }

  func call<Answer: WireResult>(
    _ call: Call, _ deadline: Duration?
  ) async throws(ClientError) -> Answer {
    try await link.call(call, deadline: deadline ?? configuration.deadline).get()
  }

  /// One request being decoded.
  public struct Session: Sendable {
    let client: RepriseClient
    public let opened: SessionOpened

    public var name: String { opened.session }

    /// Tells which tokens joined the output since the last step, accepted ones and the model's
    /// own, and asks for what may follow.
    public func step(
      accepting tokens: [Int32] = [], _ options: DraftOptions = DraftOptions(),
      deadline: Duration? = nil
    ) async throws(ClientError) -> Draft {
      var step = SessionStep()
      step.append(session: name, accept: tokens, options: options)
      switch try await client.step(step, deadline: deadline)[0] {
      case .success(let draft): return draft
      case .failure(let error): throw .service(error)
      }
    }

    /// Ends the session, and has its output kept.
    @discardableResult
    public func close(
      record: Bool = true, deadline: Duration? = nil
    ) async throws(ClientError) -> SessionClosed {
      try await client.closeSession(name, record: record, deadline: deadline)
    }
  }
}

/// Why a call gave no answer.
public enum ClientError: Error, Equatable, Sendable, CustomStringConvertible {
  /// The service says no, and why.
  case service(WireError)
  /// No answer in time. The service may still carry the call out.
  case deadlineExceeded
  /// The connection was lost while the call was under way. It may have been carried out.
  case disconnected
  /// There is no connection, and it is too soon to try again. Nothing was sent.
  case unavailable(reason: String)
  /// More calls are under way than `callsMax`. Nothing was sent.
  case tooManyCalls
  /// The service's answer could not be understood.
  case malformedAnswer
  /// The client was closed.
  case closed

  public var description: String {
    switch self {
    case .service(let error): error.description
    case .deadlineExceeded: "no answer in time"
    case .disconnected: "the connection to the service was lost"
    case .unavailable(let reason): "the service cannot be reached: \(reason)"
    case .tooManyCalls: "too many calls are under way"
    case .malformedAnswer: "the service's answer could not be understood"
    case .closed: "the client was closed"
    }
  }
}
