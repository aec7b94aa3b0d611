import Drafting
import Foundation
import LMDB
import SuffixIndex

/// A named history: what it keeps is on disk, what it answers from is in memory and in the map.
///
/// Calls may come from any thread. Drafting holds the corpus's lock for microseconds and never
/// waits for the disk; writing is done by the corpus's own thread, which answers through a
/// completion when what it wrote is on disk (or, with durability `interval`, will soon be).
///
/// What changes how history lies on the disk (sealing, merging, removing, restoring) holds a turn
/// for it, prepares the change on its own thread, and has the writer commit it. See `Turns`.
public final class Corpus: @unchecked Sendable {
  // @unchecked Sendable: `state` is guarded by `lock`; `file` is changed while the writer stands still
  // and the changer holds all turns and `lock`, and so may be read with any one of these; the rest
  // never changes.
  public let name: String
  /// Replacing the history by a snapshot's does not change them.
  public let settings: CorpusSettings

  private(set) var file: CorpusFile
  let activity = ActivityLog()
  let options: StoreOptions
  private let conditions: StandingConditions
  let turns = Turns()
  /// nil where history is only read.
  private let writer: Writer?
  private let compactor: Compactor?
  private let lock = AdaptiveLock()
  private var state: State

  private struct State {
    /// nil where the corpus could not be opened.
    var history: LiveHistory?
    /// Why nothing can be answered.
    var failure: StoreError?
    /// What was found damaged, for `stats`.
    var damage: [String] = []
    var isClosed = false
    var sessions = 0
    var sequencesUnsaved = 0
    /// When the oldest of them was acknowledged.
    var unsavedSince: ContinuousClock.Instant?
    /// Why nothing may be written: its files are not in their place.
    var displacement: StoreError?
    /// What the next job needs, while the oldest sequences leave to make room for it.
    var roomNeeded: HistorySize?
    /// Why they could not.
    var roomFailure: StoreError?
    /// What failed when it was last tried.
    var failed: Set<Compaction> = []
    /// The result of the last search for segments to merge.
    var merging = Merging.possible
    /// How often it was put off, one time after the other.
    var mergingDeferrals = 0
    /// By how much merging took more memory than was foreseen.
    var mergeBytesScale = 1.0
    /// Segment numbers are never used again, so that what a crash left of one is not taken for
    /// another's.
    var nextSegment: UInt64 = 0
    var ages: CommitAges
  }

  /// Whether segments are to be merged.
  enum Merging: Equatable {
    case possible
    /// None are, as they are.
    case done
    /// So many are, when there is so much memory for it.
    case waiting(segments: Int, bytes: Int)
  }

  /// Opens a corpus in place: finds its segments, repairs what is damaged, and adds what is not
  /// sealed to memory again.
  init(
    name: String, file: CorpusFile, options: StoreOptions, conditions: StandingConditions,
    compactor: Compactor?
  ) throws(StoreError) {
    self.name = name
    self.conditions = conditions
    self.file = file
    let options = options.within(options.cancellation)
    self.options = options
    self.compactor = file.isReadOnly ? nil : compactor
    settings = file.settings
    let loaded = try LoadedCorpus(file, options)
    state = State(ages: CommitAges(nextOrder: loaded.nextOrder, clock: options.clock))
    state.history = loaded.history
    state.nextSegment = loaded.nextSegment
    state.damage = loaded.damage
    if file.isReadOnly {
      writer = nil
    } else {
      let writer = Writer(
        nextOrder: loaded.nextOrder, durability: settings.durability,
        tokensWaitingMax: options.writeTokensWaitingMax, clock: options.clock)
      self.writer = writer
      writer.start(self)
    }
    self.compactor?.add(self)
  }

  var compactsInBackground: Bool { compactor != nil }
  var mergePolicy: MergePolicy {
    MergePolicy(
      options, settings.retention, bytesScale: lock.withLock { state.mergeBytesScale })
  }

  // MARK: Drafting

  /// Calls `body` with the history, under the corpus's lock.
  func withHistory(
    _ body: (LiveHistory) throws(StoreError) -> Void
  ) -> Result<Void, StoreError> {
    let result: Result<Void, StoreError> = lock.withLock {
      if let failure = state.failure { return .failure(failure) }
      guard let history = state.history, !state.isClosed else {
        return .failure(.closed(corpus: name))
      }
      do throws(StoreError) {
        try body(history)
      } catch {
        return .failure(error)
      }
      // Bytes that changed after they were checked: what was made of them is worth nothing.
      if history.mark.isSet { return .failure(noteDamageWhileReading()) }
      return .success(())
    }
    return result
  }

  /// Drafts what follows a context, from the shared history alone.
  ///
  /// - Parameter draft: Receives the draft.
  public func speculate(
    _ context: Span<Int32>, _ options: DraftOptions, using scratch: inout DraftScratch,
    into draft: inout Draft
  ) throws(StoreError) {
    var options = options
    options.vocabulary = min(options.vocabulary, settings.tokenBound)
    let status = withHistory { (history) throws(StoreError) in
      scratch.matches.removeAll(keepingCapacity: true)
      for index in history.indexes { scratch.matches.append(index.match(context)) }
      scratch.drafter.draft(
        from: history.indexes, matches: scratch.matches, options: options, into: &draft)
    }
    try status.get()
  }

  /// Begins a session. Indexing the prompt takes 0.03 to 0.1 µs a token, outside of any lock.
  ///
  /// - Parameters:
  ///   - vocabulary: No token at or above it is drafted. The prompt may have such tokens.
  ///   - parent: A closed session whose prompt and output this prompt begins with: its index is taken
  ///     over and extended. Anything else is as good as nil.
  public func openSession(
    prompt: consuming [Int32], share: SharePolicy = .live, vocabulary: Int32 = .max,
    continuing parent: DecodingSession? = nil
  ) -> DecodingSession {
    DecodingSession(
      self, prompt: prompt, share: share, vocabulary: vocabulary, continuing: parent)
  }

  // MARK: Writing

  /// Adds finished sequences. The completion is called once, on any thread: after the commit (with
  /// durability `interval`, when it is certain that there will be one unless the process ends), or
  /// with an error, and then none of the sequences was added.
  public func insert(
    _ sequences: [NewSequence],
    completion: @escaping @Sendable (Result<InsertReceipt, StoreError>) -> Void
  ) {
    if let failure = (lock.withLock { state.failure }) {
      completion(.failure(failure))
      return
    }
    let bytes = sequences.reduce(0) { $0 + $1.bytes }
    guard let reservation = options.memory.reserve(bytes, for: .writes) else {
      completion(.failure(.busy(retryAfterMillis: 100)))
      return
    }
    write(InsertJob(sequences, reservation, completion))
  }

  /// Adds finished sequences and waits until they are on disk.
  @discardableResult
  public func insert(_ sequences: [NewSequence]) throws(StoreError) -> InsertReceipt {
    let answer = Awaited<Result<InsertReceipt, StoreError>>()
    insert(sequences) { answer.set($0) }
    return try answer.wait().get()
  }

  func write(_ job: any WriteJob) {
    guard let writer else {
      job.didFail(.readOnly(corpus: name), self)
      return
    }
    if let error = writer.enqueue(job, of: name) { job.didFail(error, self) }
  }

  /// Whether outputs of sessions can be recorded.
  var isReadOnly: Bool { writer == nil }

  /// How many tokens are added to memory, or taken out, under one hold of the lock: some 100 µs.
  private static let tokensPerHold = 256

  /// Adds an accepted sequence to the newest part. On the writer thread, as is what follows.
  func add(_ sequence: PlannedSequence) {
    // Only this thread begins parts, so the part stays the newest.
    guard let part = (lock.withLock { UncheckedBox(state.history?.current) }).value else { return }
    var tail = GrowingIndex.Tail()
    let tokens = sequence.tokens
    var start = 0
    while start < tokens.count {
      let end = min(start + Self.tokensPerHold, tokens.count)
      lock.withLock {
        part.index.extend(&tail, by: tokens.span.extracting(start..<end))
      }
      start = end
    }
    lock.withLock { part.finish(sequence.finished) }
  }

  /// Takes a sequence that is not in the log any more out of memory.
  func removeFromMemory(_ order: UInt64, _ tokens: [Int32]) {
    guard let part = (lock.withLock { UncheckedBox(state.history?.unlist(order)) }).value else {
      return
    }
    removeInPieces(tokens.span) { $2.removeLast($0, of: $1, from: part) }
  }

  /// The output of a session is a finished sequence now, or, where it is not kept, leaves. (That may be
  /// on any thread.)
  func finish(_ session: DecodingSession, _ sequence: PlannedSequence?, output: [Int32]) {
    let standing = lock.withLock { state.history.flatMap(session.tokensStanding) }
    switch (sequence, standing) {
    case (let sequence?, .some):
      lock.withLock {
        guard let history = state.history else { return }
        session.didFinish(sequence.finished, output.span, in: history)
      }
    case (let sequence?, nil): add(sequence)
    case (nil, let count?):
      removeInPieces(output.span.extracting(0..<count)) { session.removeLast($0, of: $1, in: $2) }
    case (nil, nil): break
    }
    sessionDidLeave()
  }

  /// From their end to their beginning; see `GrowingIndex.removeLast`.
  private func removeInPieces(
    _ tokens: Span<Int32>, _ removeLast: (Int, Span<Int32>, LiveHistory) -> Void
  ) {
    var left = tokens.count
    while left > 0 {
      let count = min(Self.tokensPerHold, left)
      lock.withLock {
        if let history = state.history {
          removeLast(count, tokens.extracting(0..<left), history)
        }
      }
      left -= count
    }
  }

  /// A session has ended: the part that it stood in may be free to be sealed now.
  func sessionDidLeave() {
    if lock.withLock({ (state.history?.parts.count ?? 0) > 1 }) { compactor?.add(self) }
  }

  func renewView() {
    // Where no reader slot is free, the view that there is serves on.
    guard let transaction = try? file.beginReading() else { return }
    let segments = lock.withLock { UncheckedBox(state.history?.segments ?? []) }.value
    let view = SegmentView(transaction, segments)
    lock.withLock { state.history?.renew(view) }
  }

  /// Has the writer look at the time again, for tests that move it.
  func wakeWriter() { writer?.wake() }

  // MARK: What is not on disk

  func noteUnsaved(sequences: Int, since: ContinuousClock.Instant?) {
    lock.withLock {
      state.sequencesUnsaved = sequences
      state.unsavedSince = since
    }
  }

  func noteSaving(failure: StoreError?) {
    guard let failure else { return conditions.clear(.saving, corpus: name) }
    let sequences = lock.withLock { state.sequencesUnsaved }
    conditions.raise(
      .saving, corpus: name,
      cause:
        "\(sequences) acknowledged sequences are not on disk yet, and no others are taken: \(failure)",
      tolerated: settings.durability.failureTolerated)
  }

  /// A sentence for the log on acknowledged sequences that are not on disk; nil where all are.
  var unsavedReport: String? {
    let (sequences, displacement) = lock.withLock { (state.sequencesUnsaved, state.displacement) }
    if sequences > 0 {
      let cause = writer?.lastSaveFailure.map { ": \($0)" } ?? ""
      return
        "\(sequences) acknowledged sequences of corpus \(name) are not on disk and are lost\(cause)"
    }
    return displacement.map { "corpus \(name): \($0)" }
  }

  /// Why nothing may be written, where the corpus's files are no longer where they were. Looked at before
  /// each group of sequences is acknowledged.
  ///
  /// - Complexity: One fstat(2).
  var displacement: StoreError? {
    if file.environment.isRemoved {
      noteDisplacement(.displaced(what: "the file of corpus \(name)"), at: file.path)
    }
    return lock.withLock { state.displacement }
  }

  /// - Parameter failure: nil where all is in its place.
  func noteDisplacement(_ failure: StoreError?, at path: String) {
    lock.withLock { state.displacement = failure }
    if let failure {
      conditions.raise(
        .directory, corpus: name, cause: "\(path): \(failure)", tolerated: .zero)
    } else {
      conditions.clear(.directory, corpus: name)
    }
  }

  /// Whether a directory holds the files that are open.
  func isInPlace(_ directory: String) -> Bool {
    lock.withLock { state.isClosed || file.environment.isInPlace(in: directory) }
  }

  // MARK: Other processes

  /// Other processes that have a read transaction on the file, as a check has.
  public var otherReaders: [OtherReader] {
    lock.withLock { state.isClosed ? [] : file.otherReaders }
  }

  /// So many commits may come while another process reads one state; then the log tells who it is.
  private static let transactionsBehindMax = 1000

  /// Frees the reader slots of processes that were killed, and tells of those that read for long.
  ///
  /// - Returns: How many slots were freed.
  func lookAfterReaders() -> Int {
    let (freed, others) = lock.withLock {
      state.isClosed
        ? (0, [])
        : ((try? file.environment.freeSlotsOfDeadProcesses()) ?? 0, file.otherReaders)
    }
    let slow = others.filter { $0.transactionsBehind > Self.transactionsBehindMax }
    if slow.isEmpty {
      conditions.clear(.reading, corpus: name)
    } else {
      let names = slow.map { "\($0) reads the state of \($0.transactionsBehind) commits ago" }
      conditions.raise(
        .reading, corpus: name,
        cause: "\(names.joined(separator: ", ")); the file grows until that has ended")
    }
    return freed
  }

  // MARK: Parts

  func beginPartIfFull() {
    let sealTokens = MergePolicy.sealTokens(options, settings.retention)
    let sealSequences = settings.retention.sequences.map { max(1, $0 / 8) } ?? .max
    let isFull = lock.withLock {
      guard let part = state.history?.current else { return false }
      return part.index.tokenCount >= sealTokens || part.finishedSize.sequences >= sealSequences
    }
    if isFull { beginPart() }
  }

  func beginPart(evenIfEmpty: Bool = true) {
    if !evenIfEmpty, lock.withLock({ (state.history?.current.index.tokenCount ?? 0) == 0 }) {
      return
    }
    // Made outside of the lock: its memory is cleared, which takes a millisecond.
    let part = UncheckedBox(
      GrowingPart(
        depth: settings.depth,
        tokensExpected: MergePolicy.sealTokens(options, settings.retention)))
    lock.withLock { state.history?.begin(part.value) }
    compactor?.add(self)
  }

  /// Memory of the part that new sequences go to; 0 where nothing is written.
  var bytesInNewestPart: Int {
    if isReadOnly { return 0 }
    return lock.withLock { state.history?.current.index.bytes ?? 0 }
  }

  /// Has the writer begin a new part, so that the one that is the newest now can be sealed.
  func endPart() { write(PartEndJob()) }

  /// A part whose sequences are all finished; or else, while a second part is full, the sessions that
  /// are to move on from one so that it can be sealed.
  func partToSeal() -> (part: GrowingPart?, stragglers: [DecodingSession]) {
    let sealTokens = MergePolicy.sealTokens(options, settings.retention)
    let found: UncheckedBox<(part: GrowingPart?, stragglers: [DecodingSession])> = lock.withLock {
      let old = state.history?.parts.dropLast() ?? []
      if let part = old.first(where: \.open.isEmpty) { return UncheckedBox((part, [])) }
      // A part that is full of what is still open would only fill another one.
      let left = old.first { !$0.finished.isEmpty || $0.index.tokenCount < sealTokens }
      return UncheckedBox((nil, old.count > 1 ? Array((left?.open ?? [:]).values) : []))
    }
    return found.value
  }

  /// Finished sequences that are not sealed.
  func finishedInMemory() -> [FinishedSequence] {
    lock.withLock { state.history?.parts.flatMap(\.finished) ?? [] }
  }

  // MARK: Compaction

  /// Whether so much waits to be sealed or merged that inserts have to wait: for the sake of memory,
  /// and of drafts, which look into every segment. They don't wait where that fails or cannot be done
  /// for want of memory, because they would wait for ever; then the disk refuses them, or drafts get
  /// slower.
  var mustWaitForCompaction: Bool {
    guard compactor != nil else { return false }
    return lock.withLock {
      guard let history = state.history else { return false }
      // Parts that only wait for sessions to end do not count: inserts don't make more of them.
      let waiting = history.parts.dropLast().count { !$0.finished.isEmpty }
      return waiting > options.sealsWaitingMax && !state.failed.contains(.sealing)
        || history.segments.count > options.segmentsMax && !state.failed.contains(.merging)
          && state.merging == .possible
    }
  }

  func noteCompaction(_ kind: Compaction, failure: StoreError?) {
    lock.withLock {
      if failure == nil {
        _ = state.failed.remove(kind)
      } else {
        state.failed.insert(kind)
      }
    }
    writer?.wake()
  }

  func noteMerging(_ merging: Merging) {
    let isWaiting = if case .waiting = merging { true } else { false }
    lock.withLock {
      state.merging = merging
      state.mergingDeferrals = isWaiting ? state.mergingDeferrals + 1 : 0
    }
    if isWaiting { activity.note { $0.mergesDeferred += 1 } }
  }

  /// Merging was given up, because it turned out to take more memory than there is.
  func noteMergingNeeded(_ bytes: Int) {
    lock.withLock { state.mergeBytesScale *= 1.5 }
    noteMerging(.waiting(segments: 0, bytes: bytes))
  }

  /// How often in a row merging was put off for want of memory, and why; nil where it was not.
  var mergingWait: (times: Int, sentence: String)? {
    let (merging, times) = lock.withLock { (state.merging, state.mergingDeferrals) }
    guard case .waiting(let segments, let bytes) = merging else { return nil }
    return (
      times,
      "\(segments) segments wait to be merged until \(bytes) bytes of memory are free for it, of the "
        + "\(options.memory.limit) that the process may have; drafts ask more segments meanwhile, so "
        + "close sessions or allow more memory"
    )
  }

  var view: SegmentView? { lock.withLock { state.history?.view } }

  func takeSegmentNumber() -> UInt64 {
    lock.withLock {
      state.nextSegment += 1
      return state.nextSegment - 1
    }
  }

  /// Swaps the view for one with new segments in place of others and of a part.
  func install(_ new: [UInt64], replacing old: [UInt64], retiring part: GrowingPart?)
    throws(StoreError)
  {
    let history = lock.withLock { UncheckedBox(state.history) }.value
    // The history is replaced only while the writer, on whose thread this is, stands still.
    guard let history else { throw .closed(corpus: name) }
    let transaction = try file.beginReading()
    var segments = lock.withLock { UncheckedBox(history.segments) }.value
    segments.removeAll { old.contains($0.number) }
    for number in new {
      segments.append(try file.segment(number, transaction, mark: history.mark))
    }
    segments.sort { $0.number < $1.number }
    let view = UncheckedBox(SegmentView(transaction, segments))
    let (boxed, retired) = (UncheckedBox(history), UncheckedBox(part))
    lock.withLock { boxed.value.install(view.value, replacing: retired.value) }
  }

  // MARK: Room

  /// Finished sequences.
  var size: HistorySize { lock.withLock { state.history?.size ?? HistorySize() } }

  /// Ages of the sequences.
  var ages: CommitAges { lock.withLock { state.ages } }

  /// Notes what the wall clock tells before it stamps sequences from `nextOrder` on.
  func noteWallClock(seconds: UInt64, nextOrder: UInt64) {
    if settings.retention.ageSeconds == nil { return }
    let now = options.clock.now()
    lock.withLock { state.ages.note(wallSeconds: seconds, at: now, nextOrder: nextOrder) }
  }

  /// Seconds for which the oldest sequence has been kept at most; 0 where there is none. No sequence is
  /// older, and there may be none as old, because of a segment only the earliest stamp is known here.
  var oldestAge: Int {
    let now = options.clock.now()
    return lock.withLock {
      guard let history = state.history else { return 0 }
      var oldest = 0
      func note(_ order: UInt64, _ seconds: UInt64) {
        oldest = max(oldest, state.ages.age(order: order, committed: seconds, at: now))
      }
      for part in history.parts {
        for sequence in part.finished { note(sequence.order, sequence.committedSeconds) }
      }
      for segment in history.segments {
        note(segment.record.orders.lowerBound, segment.record.seconds.lowerBound)
        note(segment.record.orders.upperBound, segment.record.seconds.lowerBound)
      }
      return oldest
    }
  }

  /// Whether what adds history has to wait.
  var isMakingRoom: Bool { lock.withLock { state.roomNeeded != nil } && !isClosing }
  var roomNeeded: HistorySize? { lock.withLock { state.roomNeeded } }

  /// Why there is no room for the next job. It is told once: for the job after that, making room is
  /// tried again.
  func takeRoomFailure() -> StoreError? {
    if isClosing { return .closed(corpus: name) }
    return lock.withLock {
      defer { state.roomFailure = nil }
      return state.roomFailure
    }
  }

  /// Has the oldest sequences leave, on another thread. `isMakingRoom` until that is done.
  func makeRoom(for needed: HistorySize) {
    lock.withLock { state.roomNeeded = needed }
    if let compactor {
      compactor.add(self)
    } else {
      // What fails is kept for the job that waits.
      Thread.detachNewThread { [self] in _ = try? keepWithinBounds() }
    }
  }

  func didMakeRoom(failure: StoreError?) {
    lock.withLock {
      state.roomNeeded = nil
      state.roomFailure = failure
    }
    writer?.wake()
  }

  // MARK: Damage

  /// Under the lock.
  private func noteDamageWhileReading() -> StoreError {
    let failure = StoreError.corrupt(
      what: "an index, which changed after it was checked,", where: file.path)
    state.failure = failure
    compactor?.add(self, repairing: true)
    return failure
  }

  /// Reads the whole file again, and repairs what is damaged, as at open.
  ///
  /// - Throws: What could not be repaired. Nothing is answered then.
  func repair() throws(StoreError) {
    do throws(StoreError) {
      try turns.takeAll { () throws(StoreError) in
        try replace(in: file) { () throws(StoreError) in try LoadedCorpus(file, options) }
      }
    } catch {
      lock.withLock { state.failure = error }
      throw error
    }
  }

  // MARK: State

  /// Counts open sessions for `stats`.
  public func countSession(_ change: Int) {
    lock.withLock { state.sessions += change }
  }

  public func stats() -> CorpusStats {
    var stats = CorpusStats()
    stats.activity = activity.current
    lock.withLock {
      stats.damage = state.damage + (state.failure.map { ["\($0)"] } ?? [])
      guard let history = state.history, !state.isClosed else { return }
      let usage = file.environment.usage()
      stats.bytesOnDisk = usage.diskBytes
      stats.mapBytes = usage.mapBytes
      stats.mapUsedBytes = usage.usedBytes
      stats.transactionsPinned = usage.transactionsPinned
      stats.sequences = history.size.sequences
      stats.tokens = history.size.tokens
      for segment in history.segments { stats.extendOrders(by: segment.record.orders) }
      for part in history.parts {
        let orders = part.finished.map(\.order)
        if let first = orders.min(), let last = orders.max() {
          stats.extendOrders(by: first...last)
        }
        stats.openTokens += part.index.tokenCount - part.finishedSize.tokens
        stats.bytesInMemory += part.index.bytes
      }
      stats.segments = history.segments.count
      if case .waiting(let segments, let bytes) = state.merging {
        stats.segmentsWaiting = segments
        stats.mergeBytes = bytes
      }
      stats.sessions = state.sessions
      stats.sequencesUnsaved = state.sequencesUnsaved
      stats.otherReaders = file.otherReaderCount
      if let since = state.unsavedSince {
        stats.unsavedSeconds = max(0, (options.clock.now() - since) / .seconds(1))
      }
    }
    return stats
  }

  /// Bytes that the corpus's file takes on the disk.
  public var bytesOnDisk: Int {
    lock.withLock { state.isClosed ? 0 : file.environment.usage().diskBytes }
  }

  /// Tokens in each segment, oldest first.
  public var segmentTokens: [Int] {
    lock.withLock { state.history?.segments.map(\.record.tokens) ?? [] }
  }

  /// The cancellation that long work asks whether it should end.
  var cancellation: Cancellation { options.cancellation }

  /// Whether long work should end.
  var isClosing: Bool { cancellation.isCancelled }

  /// Has long work end with `cancelled`. What waits for room in the history is refused as `closed`.
  func cancelLongWork() {
    cancellation.cancel()
    writer?.wake()
  }

  /// Puts on disk what was acknowledged, also while the corpus is being closed.
  func commitAcknowledged() {
    do throws(StoreError) {
      try commit()
    } catch {
      writer?.waitIfStopping()
    }
  }

  /// Whether the corpus was dropped, or its store closed: nothing comes back from that.
  public var isClosed: Bool { lock.withLock { state.isClosed } }

  /// Writes what waits, and ends the corpus's thread. Calls after it fail with `closed`.
  func close() {
    cancelLongWork()
    writer?.stop()
    // Whoever holds a turn finds out that the corpus is closing, and lets go of its transactions.
    try? turns.takeAll { () throws(StoreError) in
      lock.withLock {
        if state.isClosed { return }
        state.isClosed = true
        state.history?.close()
        file.environment.close()
      }
    }
  }

  // MARK: Replacing

  /// Puts what a file holds in place of what is answered from, between two writes. Sessions that are
  /// open go on: what they share joins the new history. The caller has all turns.
  ///
  /// - Parameters:
  ///   - new: This corpus's file, or one that takes its place.
  ///   - load: Puts the new file where the old one was, and loads it.
  func replace(
    in new: CorpusFile, _ load: () throws(StoreError) -> LoadedCorpus
  ) throws(StoreError) {
    guard let writer else { throw .readOnly(corpus: name) }
    var open: [DecodingSession] = []
    try writer.pausing(of: name) { () throws(StoreError) in
      let loaded = try load()
      let boxed = UncheckedBox(loaded)
      open = lock.withLock { UncheckedBox(install(boxed.value, new)) }.value
      return loaded.nextOrder
    }
    for session in open { _ = session.moveToCurrentPart() }
    compactor?.add(self)
  }

  /// Under the lock. Returns the sessions whose output stands in the history that is replaced.
  private func install(_ loaded: LoadedCorpus, _ new: CorpusFile) -> [DecodingSession] {
    let (old, oldFile) = (state.history, file)
    let sessions = old?.parts.flatMap { Array($0.open.values) } ?? []
    file = new
    loaded.history.follow(old)
    state.history = loaded.history
    state.nextSegment = loaded.nextSegment
    state.ages = CommitAges(nextOrder: loaded.nextOrder, clock: options.clock)
    state.damage = loaded.damage
    state.failure = nil
    old?.close()
    if oldFile !== new { oldFile.environment.close() }
    return sessions
  }
}

/// Carries a reference that is guarded by a lock out of the closure that holds it.
struct UncheckedBox<Value>: @unchecked Sendable {
  // @unchecked Sendable: each use says, where it stands, what keeps the value from being raced for.
  let value: Value
  init(_ value: Value) { self.value = value }
}

/// A value that another thread will set once.
final class Awaited<Value: Sendable>: @unchecked Sendable {
  // @unchecked Sendable: `value` is guarded by `condition`.
  private let condition = NSCondition()
  private var value: Value?

  func set(_ value: Value) {
    condition.withLock {
      self.value = value
      condition.broadcast()
    }
  }

  func wait() -> Value {
    condition.withLock {
      while true {
        if let value { return value }
        condition.wait()
      }
    }
  }
}
