import Concurrency
import Drafting
import RepriseModel
import StoreErrors
import SuffixIndex
import Synchronization

/// The history that the sessions over one corpus share, under its lock.
///
/// Calls may come from any thread. The lock is held for microseconds: for one step of one session, or
/// while some hundred tokens are added or removed. Long work prepares what it changes beforehand, and
/// swaps it in here.
///
/// Finished sequences are added, and parts begun, by one thread at a time: the corpus's writer.
public final class SharedHistory: Sendable {
  /// The corpus that it belongs to, for errors.
  public let corpus: CorpusName
  package let depth: Int
  /// All token ids are below it.
  package let tokenBound: Int32
  /// The most prompt tokens before each output.
  package let leadIn: Int
  /// Outputs and drafts end with the first of them.
  package let endIDs: EndIDs
  package let steps = StepCounts()
  /// The number of times that sequences were forgotten, or the history was replaced: groups that were
  /// read before may hold what is gone.
  private let removals = Atomic(0)
  private let keeper: any HistoryKeeper
  private let state: Locked<State>

  private struct State {
    /// nil once the history is closed.
    var live: LiveHistory?
    /// The reason why no call can be answered.
    var failure: StoreError?
    var sessions = 0
  }

  /// The number of tokens that are added, or removed, in one critical section: some 100 µs.
  private static let tokensPerHold = 256

  package init(
    of corpus: CorpusName, _ settings: CorpusSettings, _ live: consuming sending LiveHistory,
    keeper: any HistoryKeeper
  ) {
    self.corpus = corpus
    depth = settings.depth
    tokenBound = settings.tokenBound
    leadIn = settings.leadIn
    endIDs = settings.endIDs
    self.keeper = keeper
    state = Locked(State(live: live), rank: .corpus)
  }

  // MARK: Drafting

  /// Brings what a session knows of the history up to date, and drafts from it.
  ///
  /// - Parameters:
  ///   - context: The session's prompt and output; its last step ended before `known`, and its text in
  ///     the shared history ends before `sharedEnd`.
  ///   - scratch: Receives the draft, as `shared`; no better one than `scoreMin` leaves it empty.
  func draft(
    for session: DecodingSession, _ following: inout FollowedHistory, context: Span<Int32>,
    known: Int, sharedEnd: Int, _ options: DraftOptions, betterThan scoreMin: Double,
    using scratch: inout DraftScratch
  ) throws(StoreError) {
    try state.withLock { (state) throws(StoreError) in
      let live = try readable(state)
      following.follow(
        live, session, context: context, known: known, sharedEnd: sharedEnd)
      scratch.drafter.draft(
        from: live.indexes, matches: following.matches, options: options,
        betterThan: scoreMin, into: &scratch.shared)
      try refuseIfDamaged(&state)
    }
  }

  /// Brings what a session knows of the history up to date, and drafts by estimate from it and from
  /// the session's own text.
  ///
  /// - Parameters:
  ///   - context: As above.
  ///   - local: The session's own index and the match of its end; see `LocalHistory.end`.
  ///   - group: Those of its group; see `GroupHistory.end`.
  func draft(
    for session: DecodingSession, _ following: inout FollowedHistory, context: Span<Int32>,
    known: Int, sharedEnd: Int, and local: DraftScratch.End, _ group: DraftScratch.End?,
    _ options: DraftOptions, using scratch: inout DraftScratch, into draft: inout Draft
  ) throws(StoreError) {
    try state.withLock { (state) throws(StoreError) in
      let live = try readable(state)
      following.follow(
        live, session, context: context, known: known, sharedEnd: sharedEnd)
      scratch.draft(from: local, group, live.indexes, following.matches, options, into: &draft)
      try refuseIfDamaged(&state)
    }
  }

  /// Drafts the continuation of a context, without a session.
  ///
  /// - Parameter draft: Receives the draft.
  package func speculate(
    _ context: Span<Int32>, _ options: DraftOptions, using scratch: inout DraftScratch,
    into draft: inout Draft
  ) throws(StoreError) {
    var options = options
    options.vocabulary = min(options.vocabulary, tokenBound)
    options.endIDs = endIDs
    try state.withLock { (state) throws(StoreError) in
      let live = try readable(state)
      scratch.contextMatches.removeAll(keepingCapacity: true)
      for index in live.indexes { scratch.contextMatches.append(index.match(context)) }
      switch options.policy {
      case .suffixDecoding:
        scratch.drafter.draft(
          from: live.indexes, matches: scratch.contextMatches, options: options, into: &draft)
      case .estimate:
        scratch.draft(from: nil, nil, live.indexes, scratch.contextMatches, options, into: &draft)
      }
      try refuseIfDamaged(&state)
    }
  }

  /// The history, where it can be answered from.
  private func readable(_ state: State) throws(StoreError) -> LiveHistory {
    if let failure = state.failure { throw failure }
    guard let live = state.live else { throw .closed(corpus: corpus) }
    return live
  }

  /// Throws if bytes changed after they were checked: results computed from them are invalid.
  private func refuseIfDamaged(_ state: inout State) throws(StoreError) {
    guard let live = state.live, live.mark.isSet else { return }
    let failure = StoreError.corrupt(
      what: "an index, which changed after it was checked,", where: live.source.place)
    state.failure = failure
    keeper.requestRepair()
    throw failure
  }

  // MARK: Groups

  /// A mark of this moment, for `groupsAreValid`.
  package var groupMark: Int { removals.load(ordering: .acquiring) }

  /// True if nothing was forgotten or replaced since the mark was taken.
  func groupsAreValid(since mark: Int) -> Bool { groupMark == mark }

  /// Makes sessions drop the outputs of their groups, because sequences are gone.
  package func dropGroups() { removals.add(1, ordering: .acquiringAndReleasing) }

  // MARK: Finished sequences

  /// Adds an accepted sequence to the newest part.
  package func add(_ tokens: [Int32], as sequence: FinishedSequence) {
    var tail = GrowingIndex.Tail()
    var start = 0
    while start < tokens.count {
      let end = min(start + Self.tokensPerHold, tokens.count)
      // Only this thread begins parts, so the newest one remains the same.
      state.withLock { state in
        state.live?.current.index.extend(&tail, by: tokens.span.extracting(start..<end))
      }
      start = end
    }
    state.withLock { $0.live?.current.finish(sequence) }
  }

  /// Removes a sequence that is in no file any more from the part that holds it.
  package func remove(_ order: UInt64, _ tokens: [Int32]) {
    guard let part = state.withLock({ $0.live?.unlist(order) }) else { return }
    removeInPieces(tokens.span) { (count, tokens) in
      state.withLock { $0.live?.removeLast(count, of: tokens, from: part) }
    }
  }

  /// Turns the output of a session into a finished sequence, or removes it if it is not kept.
  ///
  /// - Parameters:
  ///   - sequence: nil for an output that is not kept; then the call may come from any thread.
  ///   - text: The session's lead-in and output.
  package func finish(
    _ session: DecodingSession, as sequence: FinishedSequence?, _ text: [Int32]
  ) {
    let standing = state.withLock { $0.live?.standing(of: session)?.tokens }
    switch (sequence, standing) {
    case (let sequence?, .some):
      state.withLock { $0.live?.finish(session, as: sequence, text.span) }
    case (let sequence?, nil): add(text, as: sequence)
    case (nil, let count?):
      removeInPieces(text.span.extracting(0..<count)) { (count, tokens) in
        state.withLock { $0.live?.removeLast(count, of: tokens, from: session) }
      }
    case (nil, nil): break
    }
    // Its part may be ready to be sealed now.
    if state.withLock({ ($0.live?.parts.count ?? 0) > 1 }) { keeper.requestSealing() }
  }

  /// Removes tokens from the end to the beginning; see `GrowingIndex.removeLast`.
  ///
  /// Each piece gives its part a new identity: while a long output leaves, every session searches its
  /// match in that part anew at each step.
  ///
  /// - Parameter removeLast: Removes so many tokens from the end of those that are left.
  private func removeInPieces(
    _ tokens: Span<Int32>, _ removeLast: (_ count: Int, _ left: Span<Int32>) -> Void
  ) {
    var left = tokens.count
    while left > 0 {
      let count = min(Self.tokensPerHold, left)
      removeLast(count, tokens.extracting(0..<left))
      left -= count
    }
  }

  /// Moves the output of a session to the newest part. Returns true if it was moved.
  func moveToCurrentPart(_ session: DecodingSession, _ text: Span<Int32>) -> Bool {
    state.withLock { state in
      guard state.failure == nil, let live = state.live else { return false }
      return live.moveToCurrentPart(session, text)
    }
  }

  /// The number of finished sequences and of their tokens.
  package var size: HistorySize { state.withLock { $0.live?.size ?? HistorySize() } }

  /// Finished sequences that are not sealed.
  package var finishedSequences: [FinishedSequence] {
    (state.withLock { $0.live?.parts.map(\.finished) ?? [] }).flatMap { $0 }
  }

  // MARK: Parts

  /// Begins a new part.
  package func begin(_ part: consuming sending GrowingPart) {
    state.withLock(moving: part) { (state, part) in state.live?.begin(part) }
    keeper.requestSealing()
  }

  /// The newest part's tokens, open outputs included; its finished sequences; and its memory in bytes.
  package var newestPart: (tokens: Int, finished: HistorySize, bytes: Int) {
    state.withLock { state in
      guard let part = state.live?.current else { return (0, HistorySize(), 0) }
      return (part.index.tokenCount, part.finishedSize, part.index.bytes)
    }
  }

  /// The next step of sealing.
  package enum Sealing {
    case nothing
    /// A part whose sequences are all finished. It is not the newest, so none is added to it.
    case seal(GrowingPart.ID, finished: [FinishedSequence], HistorySize)
    /// While a second part is full, the sessions that should move out of a part so that it can be
    /// sealed.
    case move([DecodingSession])
  }

  /// - Parameter tokensMax: The tokens of a full part.
  package func nextSealing(tokensMax: Int) -> Sealing {
    state.withLock { state in
      let old = state.live?.parts.dropLast() ?? []
      if let part = old.first(where: \.open.isEmpty) {
        return .seal(part.id, finished: part.finished, part.finishedSize)
      }
      // A part that is full of open sequences would only fill another one.
      let left = old.first { !$0.finished.isEmpty || $0.index.tokenCount < tokensMax }
      guard old.count > 1, let left else { return .nothing }
      return .move(left.open.values.map(\.session))
    }
  }

  /// The number of parts with something to be sealed, and of segments. Parts that only wait for
  /// sessions to end do not count: inserts do not make more of them.
  package var backlog: (parts: Int, segments: Int) {
    state.withLock { state in
      guard let live = state.live else { return (0, 0) }
      return (live.parts.dropLast().count { !$0.finished.isEmpty }, live.segments.count)
    }
  }

  // MARK: Segments

  /// Replaces the source of the segments by one of the same segments, read at a later moment.
  package func renew(_ source: any SegmentSource) {
    state.withLock { $0.live?.renew(source) }
  }

  /// Replaces the source by one with new segments in place of others and of a part.
  package func install(_ source: any SegmentSource, retiring part: GrowingPart.ID?) {
    // Freed outside of the lock: the index of a large part takes milliseconds.
    let retired = state.withLock { state in
      // SAFETY: nothing refers to it any more, and it is only freed.
      nonisolated(unsafe) let retired = state.live?.install(source, replacing: part)
      return unsafe retired
    }
    withExtendedLifetime(retired) {}
  }

  /// The number of tokens in each segment, oldest first.
  package var segmentTokens: [Int] {
    state.withLock { $0.live?.segments.map(\.size.tokens) ?? [] }
  }

  /// The mark that is set when an index of the history is found damaged while it is read; nil once the
  /// history is closed.
  package var damageMark: DamageMark? { state.withLock { $0.live?.mark } }

  // MARK: Life

  /// Replaces the whole history, and ends a failure. No finished sequence is added meanwhile.
  ///
  /// - Returns: The sessions whose output was in the old history; each has to move to the new one.
  package func replace(with new: consuming sending LiveHistory) -> [DecodingSession] {
    defer { dropGroups() }
    return state.withLock(moving: new) { (state, new) in
      let sessions = state.live?.openSessions ?? []
      new.follow(state.live)
      state.live = new
      state.failure = nil
      return sessions
    }
  }

  /// The reason why no call can be answered.
  package var failure: StoreError? { state.withLock { $0.failure } }

  /// Makes all calls fail until the history is replaced.
  package func fail(_ error: StoreError) { state.withLock { $0.failure = error } }

  /// True if the corpus was dropped or its store was closed. This is final.
  public var isClosed: Bool { state.withLock { $0.live == nil } }

  /// Makes all calls fail with `closed`, and releases the segments.
  ///
  /// The history keeps sessions, and those keep this object: closing breaks that cycle.
  package func close() { state.withLock { $0.live = nil } }

  /// Counts open sessions for statistics.
  public func countSession(_ change: Int) {
    state.withLock { $0.sessions += change }
  }

  /// Fills in the numbers that are known here.
  ///
  /// - Returns: False if the history is closed.
  package func describe(in statistics: inout CorpusStatistics) -> Bool {
    state.withLock { state in
      if let failure = state.failure { statistics.damage.append("\(failure)") }
      guard let live = state.live else { return false }
      statistics.sequences = live.size.sequences
      statistics.tokens = live.size.tokens
      statistics.leadInTokens = live.size.leadInTokens
      for segment in live.segments { statistics.extendOrders(by: segment.orders) }
      for part in live.parts {
        if let orders = part.orders { statistics.extendOrders(by: orders) }
        statistics.openTokens += part.index.tokenCount - part.finishedSize.tokens
        statistics.bytesInMemory += part.index.bytes
      }
      statistics.segments = live.segments.count
      statistics.sessions = state.sessions
      return true
    }
  }
}

extension CorpusStatistics {
  fileprivate mutating func extendOrders(by orders: ClosedRange<UInt64>) {
    oldestOrder = min(oldestOrder ?? .max, orders.lowerBound)
    newestOrder = max(newestOrder ?? 0, orders.upperBound)
  }
}
