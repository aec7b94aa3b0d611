import Drafting
import Foundation
import SuffixIndex

/// Scratch memory for drafting. Keep one per thread and pass it to every call, which then allocates
/// nothing.
public struct DraftScratch {
  var drafter = Drafter()
  var shared = Draft()
  var matches: [MatchCursor] = []

  public init() {}
}

/// One request being decoded: its prompt and output so far, over the history of one corpus.
///
/// May be used from any thread; calls on one session wait for each other. Locks are taken in the
/// order session, corpus.
public final class DecodingSession: @unchecked Sendable {
  // @unchecked Sendable: every stored variable is guarded by `lock`. `part`, `tail` and `joined`
  // are changed with the corpus's lock held as well. While the session is closing, the closing
  // thread alone uses them and holds the corpus's lock only.
  public let corpus: Corpus
  /// The way in which the output joins the shared history.
  public let share: SharePolicy
  /// All drafted token ids are below it: the lesser of the corpus's vocabulary and the session's
  /// own.
  private let vocabulary: Int32
  /// The number of tokens in the prompt.
  public let promptTokens: Int
  /// Tokens of the prompt that were indexed already, by the session that this one continues.
  public let reusedTokens: Int

  private let lock = NSLock()
  private enum State { case open, closing, closed }
  private var state = State.open
  /// Prompt and output.
  private var context: [Int32]
  private var local: LocalHistory?

  /// The match of the context in each of the history's indexes, as they were at `generation`.
  private var matches: [MatchCursor] = []
  /// The identities of those indexes.
  private var identities: [Int] = []
  private var generation = -1
  /// The part of the shared history that holds the output, from its first token on.
  private var part: GrowingPart?
  private var tail = GrowingIndex.Tail()
  /// Tokens of the output in the shared history: fewer than the output has if the corpus could not
  /// be read.
  private var joined = 0

  /// The last draft, kept until the number of its accepted tokens is known.
  private var drafted: [Int32] = []
  private var draftedParents: [Int32] = []

  /// The number of output tokens to reserve room for. Untouched room takes no memory.
  private static let outputTokensExpected = 1024

  /// The number of tokens that are indexed in some 0.1 ms.
  private static let tokensPerTurn = 2048

  /// Indexes the prompt. Takes no lock of the corpus.
  init(
    _ corpus: Corpus, prompt: consuming [Int32], share: SharePolicy, vocabulary: Int32,
    continuing parent: DecodingSession?
  ) {
    self.corpus = corpus
    self.share = share
    self.vocabulary = min(vocabulary, corpus.settings.tokenBound)
    promptTokens = prompt.count
    let inherited = parent?.handOver(to: prompt.span)
    let history =
      inherited?.local
      ?? LocalHistory(
        depth: corpus.settings.depth,
        tokensExpected: prompt.count + prompt.count / 4 + Self.outputTokensExpected)
    reusedTokens = inherited?.tokens ?? 0
    var indexed = reusedTokens
    while indexed < prompt.count {
      let end = min(indexed + Self.tokensPerTurn, prompt.count)
      history.append(prompt.span.extracting(indexed..<end))
      indexed = end
      // Without this, a thread that was woken may wait for this one until the kernel's next tick,
      // which is 4 ms away.
      if indexed < prompt.count { sched_yield() }
    }
    local = history
    context = prompt
    context.reserveCapacity(context.count + Self.outputTokensExpected)
  }

  /// Gives the local history of a closed session to a session whose prompt begins with all its
  /// tokens.
  private func handOver(to prompt: Span<Int32>) -> (local: LocalHistory, tokens: Int)? {
    lock.withLock {
      guard state == .closed, let local, context.count <= prompt.count else { return nil }
      for position in context.indices where context[position] != prompt[position] { return nil }
      self.local = nil
      return (local, context.count)
    }
  }

  /// Memory that is kept for the session in bytes, room for future tokens included.
  public var bytes: Int {
    lock.withLock { (local?.bytesKept ?? 0) + context.capacity * MemoryLayout<Int32>.stride }
  }

  /// Memory that opening a session takes, in bytes.
  public static func bytesToOpen(promptTokens: Int) -> Int {
    (promptTokens + outputTokensExpected) * bytesPerToken
  }

  /// Memory of the local history and the context for each token: an upper bound on real output.
  public static let bytesPerToken = GrowingPart.bytesPerToken + MemoryLayout<Int32>.stride

  /// Tokens of the output that are in the shared history, while the session is open.
  public var sharedTokens: Int { lock.withLock { state == .open && part != nil ? joined : 0 } }

  /// The number of tokens in the output so far.
  public var outputTokens: Int { lock.withLock { context.count - promptTokens } }

  /// Accepts the tokens that joined the output since the last step, and drafts the continuation.
  ///
  /// - Parameters:
  ///   - accepted: Drafted tokens that the model accepted, and the model's own.
  ///   - draft: Receives the better of the local and the shared draft, the local one at equal
  ///     score.
  /// - Returns: The outcome of the draft before this one; nil if that draft was empty, or no token
  ///   joined the output.
  /// - Throws: `closed` after `close`; `corrupt` if the corpus is damaged; `beyondVocabulary` for
  ///   tokens that the corpus's vocabulary does not have, and then no token joins the output.
  @discardableResult
  public func step(
    accepting accepted: Span<Int32>, _ options: DraftOptions, using scratch: inout DraftScratch,
    into draft: inout Draft
  ) throws(StoreError) -> DraftOutcome? {
    let bound = corpus.settings.tokenBound
    if bound < .max {
      for position in accepted.indices where accepted[position] >= bound {
        throw .beyondVocabulary(
          token: accepted[position], vocabulary: Int(bound), sequence: nil, position: position)
      }
    }
    var options = options
    options.vocabulary = min(options.vocabulary, vocabulary)
    let result: Result<DraftOutcome?, StoreError> = lock.withLock {
      guard state == .open, let local else {
        return .failure(.closed(corpus: corpus.name))
      }
      let outcome =
        drafted.isEmpty || accepted.isEmpty
        ? nil
        : DraftOutcome(
          drafted: drafted.count,
          accepted: Draft.acceptedTokens(drafted.span, draftedParents.span, by: accepted))
      let known = context.count
      for position in accepted.indices { context.append(accepted[position]) }
      local.append(accepted)
      local.draft(options, using: &scratch.drafter, into: &draft)
      let status = corpus.withHistory { (history) throws(StoreError) in
        follow(history, known: known)
        scratch.drafter.draft(
          from: history.indexes, matches: matches, options: options, betterThan: draft.score,
          into: &scratch.shared)
      }
      if case .success = status, scratch.shared.score > draft.score {
        swap(&draft, &scratch.shared)
      }
      drafted.removeAll(keepingCapacity: true)
      drafted.append(contentsOf: draft.tokens)
      draftedParents.removeAll(keepingCapacity: true)
      draftedParents.append(contentsOf: draft.parents)
      return status.map { outcome }
    }
    let outcome = try result.get()
    corpus.activity.noteStep(outputTokens: accepted.count, outcome)
    return outcome
  }

  /// Adds the context from `known` on to the shared history, if it is shared, and updates the
  /// matches.
  ///
  /// Matches are refreshed before anything is added: a match that is the longest now stays the
  /// longest when its own continuation is added, because every new pattern ends in the new tokens.
  private func follow(_ history: LiveHistory, known: Int) {
    let added = context.count - known
    let isBehind = share == .live && joined < known - promptTokens
    // Beyond this, a new search reads fewer tokens than following would. A match must not be
    // followed either if tokens before its end are added as well.
    let follows = added < corpus.settings.depth && !isBehind
    if follows {
      let before = context.span.extracting(0..<known)
      if generation != history.generation { findNewIndexes(history, before) }
      for (position, index) in history.indexes.enumerated() {
        guard case .growing(let growing) = index else { break }
        growing.refresh(&matches[position], context: before)
      }
    }
    if share == .live && promptTokens + joined < context.count {
      let part = self.part ?? begin(in: history)
      extend(part, to: context.span.extracting(promptTokens..<context.count))
    }
    if follows {
      for (position, index) in history.indexes.enumerated() {
        for token in known..<context.count { index.advance(&matches[position], by: context[token]) }
      }
    } else {
      matches.removeAll(keepingCapacity: true)
      for index in history.indexes { matches.append(index.match(context.span)) }
      identities = history.identities
      generation = history.generation
    }
  }

  /// Aligns the matches with the history's indexes again. The context is searched for only in new
  /// indexes (sealing and merging add one at a time).
  private func findNewIndexes(_ history: LiveHistory, _ context: Span<Int32>) {
    let known = matches
    matches.removeAll()
    for (position, index) in history.indexes.enumerated() {
      if let old = identities.firstIndex(of: history.identities[position]) {
        matches.append(known[old])
      } else {
        matches.append(index.match(context))
      }
    }
    identities = history.identities
    generation = history.generation
  }

  private func begin(in history: LiveHistory) -> GrowingPart {
    let part = history.current
    part.open[ObjectIdentifier(self)] = self
    self.part = part
    tail = GrowingIndex.Tail()
    joined = 0
    return part
  }

  private func extend(_ part: GrowingPart, to output: Span<Int32>) {
    part.index.extend(&tail, by: output.extracting(joined..<output.count))
    joined = output.count
  }

  /// Ends the session.
  ///
  /// - Parameters:
  ///   - record: True if the output is kept as a sequence (unless `share` is never). Otherwise the
  ///     output is removed from the shared history again.
  ///   - run: Runs the removal on any thread, which takes 1 µs a token; by default at once.
  ///   - completion: Called once, on any thread; a recorded output is on disk then. With an error
  ///     nothing was recorded, the session is still open and may be closed again.
  public func close(
    record: Bool, removing run: (@escaping @Sendable () -> Void) -> Void = { $0() },
    completion: @escaping @Sendable (Result<RecordReceipt, StoreError>) -> Void
  ) {
    let output: [Int32]? = lock.withLock {
      if state != .open { return nil }
      state = .closing
      return Array(context[promptTokens...])
    }
    guard let output else { return completion(.failure(.closed(corpus: corpus.name))) }
    if record && share != .never && !output.isEmpty && !corpus.isReadOnly {
      corpus.write(RecordJob(self, output, completion))
      return
    }
    let reason: RecordReceipt.UnrecordedReason =
      !record ? .notWanted : share == .never ? .notShared : output.isEmpty ? .empty : .readOnly
    // Without the lock: a step requested in the meantime fails because the session is closed.
    run { [self] in
      corpus.finish(self, nil, output: output)
      didClose(recorded: true)
      completion(.success(RecordReceipt(unrecorded: reason)))
    }
  }

  /// The part of a history that holds the output; nil if there is none. The output may be in a
  /// history that was replaced.
  private func part(in history: LiveHistory) -> GrowingPart? {
    part.flatMap { part in history.parts.first { $0 === part } }
  }

  /// The number of output tokens in a history, counted from the first; nil if there are none.
  func tokensStanding(in history: LiveHistory) -> Int? {
    part(in: history).map { _ in joined }
  }

  /// Notes that the output is now a finished sequence of the history, if the history holds it.
  func didFinish(_ sequence: FinishedSequence, _ output: Span<Int32>, in history: LiveHistory) {
    guard let part = part(in: history) else { return }
    extend(part, to: output)
    part.open[ObjectIdentifier(self)] = nil
    part.finish(sequence)
  }

  /// Removes the last tokens of the output from the history.
  func removeLast(_ count: Int, of standing: Span<Int32>, in history: LiveHistory) {
    guard let part = part(in: history) else { return }
    history.removeLast(count, of: standing, from: part)
    if count == standing.count { part.open[ObjectIdentifier(self)] = nil }
  }

  func didClose(recorded: Bool) {
    lock.withLock {
      if recorded { end() } else { state = .open }
    }
  }

  private func end() {
    state = .closed
    part = nil
    matches = []
    identities = []
  }

  /// Moves the open output to the newest part, so that an old one can be sealed. Returns true if it
  /// was moved.
  func moveToCurrentPart() -> Bool {
    lock.withLock {
      guard state == .open, let old = part else { return false }
      var moved = false
      _ = corpus.withHistory { (history) throws(StoreError) in
        if old === history.current { return }
        let output = Array(context[promptTokens...])
        // The part may belong to a history that was replaced.
        if history.parts.contains(where: { $0 === old }) {
          history.removeLast(joined, of: output.span.extracting(0..<joined), from: old)
          old.open[ObjectIdentifier(self)] = nil
        }
        extend(begin(in: history), to: output.span)
        moved = true
      }
      return moved
    }
  }
}

/// The outcome of recording a session's output.
public struct RecordReceipt: Equatable, Sendable {
  /// The number of tokens in the recorded sequence; 0 if nothing was recorded.
  public var recordedTokens = 0
  /// Order number of the recorded sequence; nil if nothing was recorded.
  public var order: UInt64?
  /// The reason why nothing was recorded; nil if something was.
  public var unrecorded: UnrecordedReason?

  public enum UnrecordedReason: Sendable {
    /// The caller closed the session without recording.
    case notWanted
    /// The session only reads.
    case notShared
    /// The session has no output.
    case empty
    /// The corpus is served from a snapshot.
    case readOnly
    /// The output is longer than all the history that the corpus keeps.
    case retention
  }

  public init(unrecorded: UnrecordedReason? = nil) { self.unrecorded = unrecorded }
}
