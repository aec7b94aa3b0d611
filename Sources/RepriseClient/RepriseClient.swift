import NIOCore
import NIOPosix
import RepriseModel
import WireProtocol

/// A connection to a Reprise service, which is re-established whenever it is lost.
///
/// Any number of calls may be under way at once, from any task; they share one connection and are
/// answered as they are ready. No call waits longer than its deadline: a service that is slow, gone
/// or faulty costs a worker an error, which it treats as an empty draft.
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
  /// A Unix socket, or a host and port of TCP.
  public enum Address: Equatable, Sendable {
    case unixSocket(path: String)
    case tcp(host: String, port: Int)
  }

  /// The deadlines, bounds and credentials of a client.
  public struct Configuration: Sendable {
    /// The longest wait for an answer that needs no disk, unless a call sets a deadline.
    public var deadline: Duration = .seconds(1)
    /// The longest wait for an answer that is given when data is on disk.
    public var writeDeadline: Duration = .seconds(30)
    /// The longest wait for operators' calls, which read or rewrite whole corpora.
    public var operationDeadline: Duration = .seconds(3600)
    /// The time after a failed attempt to connect during which calls fail immediately, so that a
    /// dead service costs nothing. Doubled with each failure, up to `reconnectDelayMax`.
    public var reconnectDelay: Duration = .milliseconds(50)
    /// The longest delay between two attempts to connect.
    public var reconnectDelayMax: Duration = .seconds(2)
    /// The most calls that may be under way at once.
    public var callsMax = 4096
    /// The longest answer, in bytes.
    public var lineBytesMax = 64 << 20
    /// The access token presented on each new connection, for a service with an access file.
    public var accessToken: String?
    /// The files for encrypting a connection over TCP; nil leaves it unencrypted.
    public var tls: TLS?

    public init() {}
  }

  /// PEM files for an encrypted connection.
  public struct TLS: Sendable {
    /// Certificates of the authorities that may have signed the service's certificate; nil for the
    /// system's.
    public var authority: String?
    /// This client's own certificate and key, if the service requires one.
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

  /// Creates a client. The first call connects.
  public init(_ address: Address, configuration: Configuration = Configuration()) {
    self.address = address
    self.configuration = configuration
    group = MultiThreadedEventLoopGroup.singleton
    link = Link(address, configuration, group.next())
  }

  /// Closes the connection. Calls under way fail with `disconnected`, later ones with `closed`.
  public func close() async {
    await link.close()
  }

  // MARK: The protocol

  /// The service's version, limits and uptime.
  public func serverInfo(deadline: Duration? = nil) async throws(ClientError) -> ServerInfo {
    try await call(.serverInfo, deadline)
  }

  /// Asks whether the service runs.
  public func isLive(deadline: Duration? = nil) async throws(ClientError) -> Health {
    try await call(.healthLive, deadline)
  }

  /// Asks whether the service answers drafts.
  public func isReady(deadline: Duration? = nil) async throws(ClientError) -> Health {
    try await call(.healthReady, deadline)
  }

  /// All metrics of the service, in Prometheus's text format 0.0.4. If access tokens are in use,
  /// needs one for all corpora.
  public func metrics(deadline: Duration? = nil) async throws(ClientError) -> String {
    let metrics: ServerMetrics = try await call(.serverMetrics, deadline)
    return metrics.text
  }

  /// Reports the outcome of this client's steps since its last report, for the service's metrics.
  ///
  /// - Returns: The name under which they are counted.
  @discardableResult
  public func report(
    _ report: ClientReport, deadline: Duration? = nil
  ) async throws(ClientError) -> ClientReported {
    try await call(.clientReport(report), deadline)
  }

  /// Creates a corpus, or finds the existing one with the same settings.
  ///
  /// - Parameter settings: Those that the corpus keeps for life.
  @discardableResult
  public func createCorpus(
    _ name: CorpusName, _ settings: CorpusSettings = CorpusSettings(), deadline: Duration? = nil
  ) async throws(ClientError) -> CorpusDescription {
    try await call(
      .corpusCreate(CorpusCreate(corpus: name, settings: settings)),
      deadline ?? configuration.writeDeadline)
  }

  /// The statistics of all corpora that the caller may see.
  public func corpora(deadline: Duration? = nil) async throws(ClientError) -> [CorpusStatistics] {
    let list: CorpusList = try await call(.corpusList, deadline)
    return list.corpora
  }

  /// The statistics of a corpus.
  public func stats(
    ofCorpus name: CorpusName, deadline: Duration? = nil
  ) async throws(ClientError) -> CorpusStatistics {
    try await call(.corpusStats(corpus: name), deadline)
  }

  /// Drops a corpus and its file permanently.
  @discardableResult
  public func dropCorpus(
    _ name: CorpusName, deadline: Duration? = nil
  ) async throws(ClientError) -> CorpusDropped {
    try await call(
      .corpusDrop(CorpusDrop(corpus: name)), deadline ?? configuration.writeDeadline)
  }

  /// Adds finished sequences. When this returns they are on disk.
  @discardableResult
  public func insert(
    _ sequences: [NewSequence], into corpus: CorpusName, tokenizer: String? = nil,
    deadline: Duration? = nil
  ) async throws(ClientError) -> InsertReceipt {
    try await call(
      .sequenceInsert(
        SequenceInsert(corpus: corpus, sequences: sequences, tokenizer: tokenizer)),
      deadline ?? configuration.writeDeadline)
  }

  /// Drafts the continuation of a context, from the shared history.
  public func speculate(
    _ context: [Int32], corpus: CorpusName, _ options: DraftOptions = DraftOptions(),
    deadline: Duration? = nil
  ) async throws(ClientError) -> Draft {
    try await call(
      .speculate(Speculate(corpus: corpus, context: context, options: options)), deadline)
  }

  /// Drafts the continuation of each of several contexts, in one exchange.
  public func speculate(
    contexts: [[Int32]], corpus: CorpusName, _ options: DraftOptions = DraftOptions(),
    deadline: Duration? = nil
  ) async throws(ClientError) -> [Result<Draft, WireError>] {
    let list: DraftList = try await call(
      .speculate(Speculate(corpus: corpus, contexts: contexts, options: options)), deadline)
    guard list.drafts.count == contexts.count else { throw .malformedAnswer }
    return list.drafts
  }

  /// Opens a session for one request of an engine.
  ///
  /// - Parameters:
  ///   - group: The group that the output will belong to, and whose newest outputs are drafted from.
  ///   - vocabulary: All drafted token ids are below it.
  public func openSession(
    corpus: CorpusName, prompt: [Int32], name: String? = nil, parent: String? = nil,
    group: String? = nil, share: SharePolicy = .live, ttlSeconds: Int? = nil,
    vocabulary: Int = Int(Int32.max), deadline: Duration? = nil
  ) async throws(ClientError) -> Session {
    let opened: SessionOpened = try await call(
      .sessionOpen(
        SessionOpen(
          corpus: corpus, session: name, prompt: prompt, parent: parent, group: group,
          share: share, ttlSeconds: ttlSeconds, vocabulary: vocabulary)),
      deadline)
    return Session(client: self, opened: opened)
  }

  /// Takes one decoding step of any number of sessions, in one exchange: in as many lines as needed
  /// for the service's event loops to read each one directly, sent together.
  ///
  /// - Returns: For each step, in order, a draft or an error of its own.
  public func step(
    _ steps: SessionStep, deadline: Duration? = nil
  ) async throws(ClientError) -> [Result<Draft, WireError>] {
    let parts = steps.split(lineBytesMax: link.eventLoopLineBytes)
    let lists: [Result<DraftList, ClientError>] = await link.calls(
      parts.map(Call.sessionStep), deadline: deadline ?? configuration.deadline)
    var drafts: [Result<Draft, WireError>] = []
    for list in lists { drafts += try list.get().drafts }
    guard drafts.count == steps.steps.count else { throw .malformedAnswer }
    return drafts
  }

  /// Ends a session. When this returns, its output is on disk (unless it is not recorded).
  @discardableResult
  public func closeSession(
    _ name: String, record: Bool = true, deadline: Duration? = nil
  ) async throws(ClientError) -> RecordReceipt {
    try await call(
      .sessionClose(SessionClose(session: name, record: record)),
      deadline ?? configuration.writeDeadline)
  }

  func call<Answer: WireResult>(
    _ call: Call, _ deadline: Duration?
  ) async throws(ClientError) -> Answer {
    try await link.call(call, deadline: deadline ?? configuration.deadline).get()
  }

  /// A session for one request of an engine.
  public struct Session: Sendable {
    let client: RepriseClient
    /// The answer to opening the session.
    public let opened: SessionOpened

    /// The name of the session on the wire.
    public var name: String { opened.session }

    /// Reports the tokens that joined the output since the last step, accepted ones and the model's
    /// own, and drafts their continuation.
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

    /// Ends the session and records its output.
    @discardableResult
    public func close(
      record: Bool = true, deadline: Duration? = nil
    ) async throws(ClientError) -> RecordReceipt {
      try await client.closeSession(name, record: record, deadline: deadline)
    }
  }
}

/// The reason why a call gave no answer.
public enum ClientError: Error, Equatable, Sendable, CustomStringConvertible {
  /// The service refused the call.
  case service(WireError)
  /// No answer in time. The service may still carry the call out.
  case deadlineExceeded
  /// The connection was lost while the call was under way. The call may have been carried out.
  case disconnected
  /// There is no connection, and it is too soon to try again. Nothing was sent.
  case unavailable(reason: String)
  /// More calls are under way than `callsMax`. Nothing was sent.
  case tooManyCalls
  /// The service's answer could not be parsed.
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
