import Concurrency
import Drafting
import Glibc
import RepriseModel
import StoreErrors
import SuffixIndex

/// One request being decoded: its prompt and output so far, over the history of one corpus.
///
/// May be used from any thread; calls on one session wait for each other. The history alone
/// knows which part of it holds the output (`LiveHistory.standing`).
public final class DecodingSession: Sendable {
  /// The history that it drafts from, beside its own.
  public let history: SharedHistory
  private let recorder: any OutputRecorder
  /// The way in which the output joins the shared history.
  public let share: SharePolicy
  /// All drafted token ids are below it: the lesser of the corpus's vocabulary and the session's
  /// own.
  private let vocabulary: Int32
  /// The number of tokens in the prompt.
  public let promptTokens: Int
  /// The number of tokens at the end of the prompt that join the shared history together with the
  /// output's first token.
  package let leadInTokens: Int
  /// The name of the group that its output will belong to; nil for none.
  public let group: String?
  private let groupMark: Int
  /// Tokens of the prompt that were indexed already, by the session that this one continues.
  public let reusedTokens: Int

  private let state: Locked<State>

  private struct State {
    enum Phase { case open, closing, closed }
    var phase = Phase.open
    /// Prompt and output.
    var context: [Int32]
    /// The place in the context behind the output's first end id; nil as long as it has none.
    var ended: Int?
    /// nil once it was handed over.
    var local: LocalHistory?
    /// nil where the session names no group, and after sequences were forgotten or the history was
    /// replaced.
    var group: GroupHistory?
    var following = FollowedHistory()
    /// The last draft, kept until the number of its accepted tokens is known.
    var drafted: [Int32] = []
    var draftedParents: [Int32] = []
    var draftedProbabilities: [Float] = []

    mutating func end() {
      phase = .closed
      group = nil
      following = FollowedHistory()
    }
  }

  /// The number of output tokens to reserve room for. Untouched room takes no memory.
  private static let outputTokensExpected = 1024

  /// The number of tokens that are indexed in some 0.1 ms.
  private static let tokensPerYield = 2048

  /// Begins a session. Indexing the prompt takes 0.03 to 0.1 µs a token, outside of the history's lock.
  ///
  /// - Parameters:
  ///   - recorder: Keeps the output when the session is closed.
  ///   - vocabulary: All drafted token ids are below it. The prompt may contain others.
  ///   - group: The group that the output will belong to, with the outputs to draft from.
  ///   - parent: A closed session over this history whose prompt and output are the beginning of this
  ///     prompt: its index is taken over and extended. Any other session is treated as nil.
  package init(
    over history: SharedHistory, recordedBy recorder: any OutputRecorder, prompt: consuming [Int32],
    share: SharePolicy, vocabulary: Int32 = .max,
    group: GroupReading? = nil, continuing parent: DecodingSession? = nil
  ) {
    self.history = history
    self.recorder = recorder
    self.share = share
    self.vocabulary = min(vocabulary, history.tokenBound)
    promptTokens = prompt.count
    leadInTokens = LeadIn.count(
      atEndOf: prompt.span, max: history.leadIn, below: history.tokenBound)
    let inherited = parent?.history === history ? parent?.handOver(to: prompt.span) : nil
    let local =
      inherited?.local
      ?? LocalHistory(
        depth: history.depth,
        tokensExpected: prompt.count + prompt.count / 4 + Self.outputTokensExpected)
    reusedTokens = inherited?.tokens ?? 0
    self.group = group?.group.name
    groupMark = group?.mark ?? 0
    var indexed = reusedTokens
    while indexed < prompt.count {
      let end = min(indexed + Self.tokensPerYield, prompt.count)
      local.append(prompt.span.extracting(indexed..<end))
      indexed = end
      // Without this, a thread that was woken may wait for this one until the kernel's next tick,
      // which is 4 ms away.
      if indexed < prompt.count { sched_yield() }
    }
    var context = prompt
    context.reserveCapacity(context.count + Self.outputTokensExpected)
    var outputs: GroupHistory?
    if let group = group?.group, !group.outputs.isEmpty {
      outputs = GroupHistory(depth: history.depth, group, context: context.span)
    }
    state = Locked(State(context: context, local: local, group: outputs), rank: .session)
  }

  /// Gives the local history of a closed session to a session whose prompt begins with all its
  /// tokens.
  private func handOver(to prompt: Span<Int32>) -> sending (local: LocalHistory, tokens: Int)? {
    state.withLock { state in
      let context = state.context
      guard state.phase == .closed, state.local != nil, context.count <= prompt.count else {
        return nil
      }
      for position in context.indices where context[position] != prompt[position] { return nil }
      let old = state
      state = State(phase: .closed, context: context, local: nil)
      return old.local.map { ($0, context.count) }
    }
  }

  /// Memory that is kept for the session in bytes, room for future tokens included.
  public var bytes: Int {
    state.withLock { state in
      (state.local?.bytesKept ?? 0) + (state.group?.bytesKept ?? 0)
        + state.context.capacity * MemoryLayout<Int32>.stride
    }
  }

  /// Memory that opening a session takes without its group, in bytes.
  public static func bytesToOpen(promptTokens: Int) -> Int {
    (promptTokens + outputTokensExpected) * bytesPerToken
  }

  /// Memory that the outputs of a session's group take, in bytes.
  public static func bytesToOpen(groupTokens: Int) -> Int {
    groupTokens * bytesPerToken
  }

  /// Memory of the local history and the context for each token: an upper bound on real output.
  public static let bytesPerToken = GrowingPart.bytesPerToken + MemoryLayout<Int32>.stride

  /// The place in the context where the shared text begins: that of the lead-in.
  var sharedStart: Int { promptTokens - leadInTokens }

  /// The place in the context where the shared text ends: with the first end id of the output.
  private func sharedEnd(_ state: State) -> Int { state.ended ?? state.context.count }

  /// The lead-in and the output, as they are in the shared history; nothing as long as the output is
  /// empty.
  private func sharedText(_ state: State) -> ArraySlice<Int32> {
    let end = sharedEnd(state)
    return end > promptTokens ? state.context[sharedStart..<end] : []
  }

  /// An upper bound of the session's tokens in the shared history, while the session is open.
  public var sharedTokens: Int {
    state.withLock { state in
      state.phase == .open && share == .live ? sharedText(state).count : 0
    }
  }

  /// The number of tokens in the output so far.
  public var outputTokens: Int { state.withLock { $0.context.count } - promptTokens }

  /// Accepts the tokens that joined the output since the last step, and drafts the continuation.
  ///
  /// - Parameters:
  ///   - accepted: Drafted tokens that the model accepted, and the model's own.
  ///   - draft: Receives the draft; by `suffixDecoding` the better of the local and the shared one,
  ///     the local one at equal score.
  /// - Returns: The outcome of the draft before this one; nil if that draft was empty, or no token
  ///   joined the output.
  /// - Throws: `closed` after `close`; `corrupt` if the corpus is damaged; `beyondVocabulary` for
  ///   tokens that the corpus's vocabulary does not have, and then no token joins the output.
  @discardableResult
  public func step(
    accepting accepted: Span<Int32>, _ options: DraftOptions, using scratch: inout DraftScratch,
    into draft: inout Draft
  ) throws(StoreError) -> DraftOutcome? {
    let bound = history.tokenBound
    if bound < .max {
      for position in accepted.indices where accepted[position] >= bound {
        throw .beyondVocabulary(
          token: accepted[position], vocabulary: Int(bound), sequence: nil, position: position)
      }
    }
    var options = options
    options.vocabulary = min(options.vocabulary, vocabulary)
    options.endIDs = history.endIDs
    let outcome = try state.withLock { (state) throws(StoreError) -> DraftOutcome? in
      guard state.phase == .open, let local = state.local else {
        throw .closed(corpus: history.corpus)
      }
      let outcome = Self.outcome(of: state, accepted)
      let known = state.context.count
      if state.ended == nil, let end = history.endIDs.end(of: accepted) {
        state.ended = known + end
      }
      for position in accepted.indices { state.context.append(accepted[position]) }
      local.append(accepted)
      if state.group != nil && !history.groupsAreValid(since: groupMark) { state.group = nil }
      state.group?.follow(accepted)
      // Also where the corpus could not be read: the local draft is known to the caller then.
      defer {
        state.drafted.removeAll(keepingCapacity: true)
        state.drafted.append(contentsOf: draft.tokens)
        state.draftedParents.removeAll(keepingCapacity: true)
        state.draftedParents.append(contentsOf: draft.parents)
        state.draftedProbabilities.removeAll(keepingCapacity: true)
        state.draftedProbabilities.append(contentsOf: draft.probs)
      }
      try self.draft(
        &state.following, state.context, known: known, sharedEnd: sharedEnd(state), and: local,
        state.group, options, using: &scratch, into: &draft)
      return outcome
    }
    history.steps.note(outputTokens: accepted.count, outcome)
    return outcome
  }

  private static func outcome(of state: State, _ accepted: Span<Int32>) -> DraftOutcome? {
    if state.drafted.isEmpty || accepted.isEmpty { return nil }
    var calibration = Calibration()
    let count = calibration.note(
      state.drafted.span, state.draftedParents.span, state.draftedProbabilities.span, by: accepted)
    return DraftOutcome(drafted: state.drafted.count, accepted: count, calibration: calibration)
  }

  /// Notes that the model verifies the first `count` tokens of the last draft alone, so that the others do
  /// not count as drafted.
  public func keepDrafted(_ count: Int) {
    state.withLock { state in
      let removed = max(0, state.drafted.count - count)
      state.drafted.removeLast(removed)
      state.draftedParents.removeLast(removed)
      state.draftedProbabilities.removeLast(removed)
    }
  }

  /// Drafts from the session's own text, its group (by `estimate`) and the shared history.
  ///
  /// - Parameter draft: Receives the draft; that of the session's own text if an error is thrown.
  private func draft(
    _ following: inout FollowedHistory, _ context: [Int32], known: Int, sharedEnd: Int,
    and local: LocalHistory, _ group: GroupHistory?, _ options: DraftOptions,
    using scratch: inout DraftScratch, into draft: inout Draft
  ) throws(StoreError) {
    switch options.policy {
    case .suffixDecoding:
      // Outside of the history's lock.
      local.draft(options, using: &scratch.drafter, into: &draft)
      try history.draft(
        for: self, &following, context: context.span, known: known, sharedEnd: sharedEnd, options,
        betterThan: draft.score, using: &scratch)
      if scratch.shared.score > draft.score { swap(&draft, &scratch.shared) }
    case .estimate:
      let end = local.end
      do throws(StoreError) {
        try history.draft(
          for: self, &following, context: context.span, known: known, sharedEnd: sharedEnd,
          and: end, group?.end, options, using: &scratch, into: &draft)
      } catch {
        scratch.draft(from: end, group?.end, [], [], options, into: &draft)
        throw error
      }
    }
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
    let text: [Int32]? = state.withLock { state in
      if state.phase != .open { return nil }
      state.phase = .closing
      return Array(sharedText(state))
    }
    guard let text else { return completion(.failure(.closed(corpus: history.corpus))) }
    if record && share != .never && !text.isEmpty && !recorder.isReadOnly {
      recorder.record(text, of: self, completion: completion)
      return
    }
    let reason: RecordReceipt.UnrecordedReason =
      !record ? .notWanted : share == .never ? .notShared : text.isEmpty ? .empty : .readOnly
    // Without the lock: a step requested in the meantime fails because the session is closed.
    run { [self] in
      history.finish(self, as: nil, text)
      didClose(recorded: true)
      completion(.success(RecordReceipt(unrecordedReason: reason)))
    }
  }

  /// Ends the closing of the session.
  ///
  /// - Parameter recorded: False if nothing was recorded and the session is open again.
  package func didClose(recorded: Bool) {
    state.withLock { state in
      if recorded { state.end() } else { state.phase = .open }
    }
  }

  /// Moves the open output to the newest part, so that an old one can be sealed. Returns true if it
  /// was moved.
  package func moveToCurrentPart() -> Bool {
    state.withLock { state in
      guard state.phase == .open, share == .live else { return false }
      let text = Array(sharedText(state))
      return text.isEmpty ? false : history.moveToCurrentPart(self, text.span)
    }
  }
}
