import Access
import NIOCore
import RepriseModel
import WireProtocol

/// Drafts for engines that post all tokens of a request each time.
///
/// A request is a session here: the tokens by which its prefix has grown were accepted. An engine
/// does not say when a request ends. Its session ends with its lease, or when another prefix comes
/// under its id, and then joins the history.
///
/// Callers must present an access token, because a port is open to all users of a machine. Used on
/// the HTTP port's one event loop alone.
final class PrefixDrafter {
  private struct Key: Hashable {
    let holder: ObjectIdentifier
    let corpus: CorpusName
    let request: RequestID
  }

  private struct Known {
    /// The session's name, chosen by the table.
    let name: String
    let table: SessionTable
    var tokens: [Int32]

    var isOpen: Bool { table.session(name) != nil }
  }

  private let application: Application
  private let reader: PrefixDraft.Reader
  private var caller: Caller
  private var known: [Key: Known] = [:]
  /// The number of known sessions at which those that have ended are removed.
  private var lookForEndedAt = 256

  /// A request that a model steps through posts several times a second.
  private static let leaseSeconds = 60

  init(_ application: Application) {
    self.application = application
    reader = PrefixDraft.Reader(limits: application.limits)
    caller = application.newCaller()
  }

  /// Drafts for one request.
  ///
  /// - Parameter bearer: The access token of the request's head; the body may have one instead.
  /// - Complexity: linear in the prefix, which is read and compared each time; its tokens are indexed
  ///   once.
  func draft(_ body: RawSpan, bearer: String?) throws(WireError) -> PrefixDrafted {
    defer { application.metrics.take(&caller.tally) }
    do throws(WireError) {
      let request = try reader.read(body)
      let principal = try authenticate(bearer ?? request.accessToken)
      return PrefixDrafted(tokens: try draft(request, for: principal))
    } catch {
      caller.tally.noteError(error.kind)
      throw error
    }
  }

  private func authenticate(_ token: String?) throws(WireError) -> Principal {
    guard let token else {
      throw .unauthorized(
        needs: "an access token, as \"Authorization: Bearer …\" or as the body's \"token\"",
        "drafting over HTTP")
    }
    guard let principal = application.access.holder(ofToken: token), principal.grant != nil else {
      throw .unauthorized(
        needs: "a token of the access file that the service was started with", "drafting over HTTP")
    }
    return principal
  }

  private func draft(
    _ request: PrefixDraft, for principal: Principal
  ) throws(WireError) -> [Int32] {
    // A session opened from here on would not be recorded.
    if application.service.isStopping {
      throw WireError(
        .busy, "the service is stopping; send again when it is back",
        ["retry_after_ms": .number(1000)])
    }
    try principal.takeRequest(application.limits, now: .now())
    guard let grant = principal.grant else { throw .tokenNeeded }
    try grant.check(
      .corpus(request.corpus, request.share == .never ? .draft : [.draft, .insert]))
    var options = request.options
    if let lengthMax = request.lengthMax {
      // The model adds a token of its own to those that it accepts.
      options.maxTokens = min(options.maxTokens, max(0, lengthMax - request.prefix.count - 1))
    }
    if let id = request.request {
      let key = Key(holder: ObjectIdentifier(principal), corpus: request.corpus, request: id)
      let session = try session(for: request, key, principal)
      var step = SessionStep()
      step.append(
        session: session.name, accept: Array(request.prefix[session.tokens.count...]),
        options: options)
      let known = session.tokens.count
      try Sessions.step(
        step, 0, in: principal.sessions, &caller, tokenAt: { "body.prefix[\(known + $0)]" })
      self.known[key]?.tokens = request.prefix
    } else {
      let call = Speculate(corpus: request.corpus, context: request.prefix, options: options)
      try Drafts.draft(call, 0, of: application.corpora.corpus(request.corpus), &caller)
    }
    caller.tally.note(caller.draft)
    let end = request.endToken.flatMap { caller.draft.tokens.firstIndex(of: $0) }
    return Array(caller.draft.tokens[...(end ?? caller.draft.tokens.count - 1)])
  }

  /// The session of a request: the known one, or a new one with the prefix as its prompt.
  private func session(
    for request: PrefixDraft, _ key: Key, _ principal: Principal
  ) throws(WireError) -> Known {
    if let known = known[key] {
      if known.isOpen {
        if request.prefix.starts(with: known.tokens) { return known }
        application.sessions.close(named: known.name, in: known.table)
      }
      self.known[key] = nil
    }
    if known.count >= lookForEndedAt {
      known = known.filter { $0.value.isOpen }
      lookForEndedAt = max(256, 2 * known.count)
    }
    let open = SessionOpen(
      corpus: request.corpus, prompt: request.prefix, share: request.share,
      ttlSeconds: Self.leaseSeconds, vocabulary: Int(request.options.vocabulary))
    let opened = try application.sessions.opened(open, in: principal.sessions, for: caller.owner)
    let session = Known(
      name: opened.session, table: principal.sessions, tokens: request.prefix)
    known[key] = session
    return session
  }
}
