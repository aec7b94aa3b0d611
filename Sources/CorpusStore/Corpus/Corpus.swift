import Drafting
import Foundation
import LMDB
import SuffixIndex

/// A named history. Its durable copy is on disk; drafts are answered from memory and from the map.
///
/// Calls may come from any thread. Drafting holds the corpus's lock for microseconds and never
/// waits for the disk. The corpus's own thread does all writing, and answers through a completion
/// when the data is on disk (or, with durability `interval`, will soon be).
///
/// Changes of the history's layout on the disk (sealing, merging, removing, restoring) hold an
/// exclusive section, prepare the change on their own thread, and have the writer commit it. See
/// `Turns`.
public final class Corpus: @unchecked Sendable {
  // @unchecked Sendable: `state` is guarded by `lock`; `file` is changed only while the writer is
  // paused and the changing thread holds all exclusive sections and `lock`, and may therefore be
  // read with any one of these; the rest never changes.
  public let name: String
  /// The settings of the corpus. Replacing the history by a snapshot's does not change them.
  public let settings: CorpusSettings

  private(set) var file: CorpusFile
  let activity = ActivityLog()
  let options: StoreOptions
  private let conditions: StandingConditions
  let turns = Turns()
  /// nil if the history is only read.
  private let writer: Writer?
  private let compactor: Compactor?
  private let lock = AdaptiveLock()
  private var state: State

  private struct State {
    /// nil if the corpus could not be opened.
    var history: LiveHistory?
    /// The reason why no call can be answered.
    var failure: StoreError?
    /// Sentences on damage that was found, for `stats`.
    var damage: [String] = []
    var isClosed = false
    var sessions = 0
    var sequencesUnsaved = 0
    /// The time at which the oldest of them was acknowledged.
    var unsavedSince: ContinuousClock.Instant?
    /// The reason why nothing may be written: the corpus's files are not in their place.
    var displacement: StoreError?
    /// The size that the next job needs, while the oldest sequences leave to make room for it.
    var roomNeeded: HistorySize?
    /// The error of making room.
    var roomFailure: StoreError?
    /// The kinds of compaction that failed when they were last tried.
    var failed: Set<Compaction> = []
    /// The result of the last search for segments to merge.
    var merging = Merging.possible
    /// The number of times that merging was postponed in a row.
    var mergingDeferrals = 0
    /// The factor by which merging took more memory than was estimated.
    var mergeBytesScale = 1.0
    /// The next segment number. Numbers are never used again, so that chunks left by a crash are
    /// never taken for those of another segment.
    var nextSegment: UInt64 = 0
    var ages: CommitAges
  }

  /// The state of the search for segments to merge.
  enum Merging: Equatable {
    case possible
    /// There is nothing to merge until the segments change.
    case done
    /// The number of segments that are merged when this amount of memory is available.
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

  /// Calls `body` with the history, while holding the corpus's lock.
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
      // Bytes changed after they were checked: results computed from them are invalid.
      if history.mark.isSet { return .failure(noteDamageWhileReading()) }
      return .success(())
    }
    return result
  }

  /// Drafts the continuation of a context, from the shared history alone.
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
  ///   - vocabulary: All drafted token ids are below it. The prompt may contain others.
  ///   - parent: A closed session whose prompt and output are the beginning of this prompt: its
  ///     index is taken over and extended. Any other session is treated as nil.
  public func openSession(
    prompt: consuming [Int32], share: SharePolicy = .live, vocabulary: Int32 = .max,
    continuing parent: DecodingSession? = nil
  ) -> DecodingSession {
    DecodingSession(
      self, prompt: prompt, share: share, vocabulary: vocabulary, continuing: parent)
  }

  // MARK: Writing

  /// Adds finished sequences. The completion is called once, on any thread: after the commit (with
  /// durability `interval`, as soon as the commit is certain unless the process ends), or with an
  /// error if none of the sequences was added.
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

  /// True if outputs of sessions cannot be recorded.
  var isReadOnly: Bool { writer == nil }

  /// The number of tokens that are added to memory, or removed, in one critical section: some 100
  /// µs.
  private static let tokensPerHold = 256

  /// Adds an accepted sequence to the newest part. Runs on the writer thread, as do the methods
  /// below.
  func add(_ sequence: PlannedSequence) {
    // Only this thread creates parts, so the part remains the newest.
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

  /// Removes a sequence from memory that is not in the log any more.
  func removeFromMemory(_ order: UInt64, _ tokens: [Int32]) {
    guard let part = (lock.withLock { UncheckedBox(state.history?.unlist(order)) }).value else {
      return
    }
    removeInPieces(tokens.span) { $2.removeLast($0, of: $1, from: part) }
  }

  /// Turns the output of a session into a finished sequence, or removes it if it is not kept. (May
  /// run on any thread.)
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

  /// Removes tokens from the end to the beginning; see `GrowingIndex.removeLast`.
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

  /// A session has ended, so its part may be ready to be sealed now.
  func sessionDidLeave() {
    if lock.withLock({ (state.history?.parts.count ?? 0) > 1 }) { compactor?.add(self) }
  }

  func renewView() {
    // If no reader slot is free, the current view stays in use.
    guard let transaction = try? file.beginReading() else { return }
    let segments = lock.withLock { UncheckedBox(state.history?.segments ?? []) }.value
    let view = SegmentView(transaction, segments)
    lock.withLock { state.history?.renew(view) }
  }

  /// Makes the writer read the clock again, for tests that move it.
  func wakeWriter() { writer?.wake() }

  // MARK: Unsaved sequences

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

  /// A sentence for the log on acknowledged sequences that are not on disk; nil if all are.
  var unsavedReport: String? {
    let (sequences, displacement) = lock.withLock { (state.sequencesUnsaved, state.displacement) }
    if sequences > 0 {
      let cause = writer?.lastSaveFailure.map { ": \($0)" } ?? ""
      return
        "\(sequences) acknowledged sequences of corpus \(name) are not on disk and are lost\(cause)"
    }
    return displacement.map { "corpus \(name): \($0)" }
  }

  /// The reason why nothing may be written if the corpus's files are no longer in their place.
  /// Checked before each group of sequences is acknowledged.
  ///
  /// - Complexity: One fstat(2).
  var displacement: StoreError? {
    if file.environment.isRemoved {
      noteDisplacement(.displaced(what: "the file of corpus \(name)"), at: file.path)
    }
    return lock.withLock { state.displacement }
  }

  /// Raises or clears the condition of displaced files.
  ///
  /// - Parameter failure: nil if all files are in their place.
  func noteDisplacement(_ failure: StoreError?, at path: String) {
    lock.withLock { state.displacement = failure }
    if let failure {
      conditions.raise(
        .directory, corpus: name, cause: "\(path): \(failure)", tolerated: .zero)
    } else {
      conditions.clear(.directory, corpus: name)
    }
  }

  /// True if a directory holds the files that are open.
  func isInPlace(_ directory: String) -> Bool {
    lock.withLock { state.isClosed || file.environment.isInPlace(in: directory) }
  }

  // MARK: Other processes

  /// Other processes that have a read transaction on the file, as a check has.
  public var otherReaders: [OtherReader] {
    lock.withLock { state.isClosed ? [] : file.otherReaders }
  }

  /// The number of commits that may pass while another process reads one state before the log names
  /// it.
  private static let transactionsBehindMax = 1000

  /// Frees the reader slots of processes that were killed, and reports processes that read for
  /// long.
  ///
  /// - Returns: The number of slots that were freed.
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
    // Created outside of the lock: its memory is cleared, which takes a millisecond.
    let part = UncheckedBox(
      GrowingPart(
        depth: settings.depth,
        tokensExpected: MergePolicy.sealTokens(options, settings.retention)))
    lock.withLock { state.history?.begin(part.value) }
    compactor?.add(self)
  }

  /// Memory of the part that receives new sequences, in bytes; 0 if nothing is written.
  var bytesInNewestPart: Int {
    if isReadOnly { return 0 }
    return lock.withLock { state.history?.current.index.bytes ?? 0 }
  }

  /// Has the writer begin a new part, so that the current one can be sealed.
  func endPart() { write(PartEndJob()) }

  /// A part whose sequences are all finished; or else, while a second part is full, the sessions
  /// that should move out of a part so that it can be sealed.
  func partToSeal() -> (part: GrowingPart?, stragglers: [DecodingSession]) {
    let sealTokens = MergePolicy.sealTokens(options, settings.retention)
    let found: UncheckedBox<(part: GrowingPart?, stragglers: [DecodingSession])> = lock.withLock {
      let old = state.history?.parts.dropLast() ?? []
      if let part = old.first(where: \.open.isEmpty) { return UncheckedBox((part, [])) }
      // A part that is full of open sequences would only fill another one.
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

  /// True if inserts have to wait until more is sealed or merged: to limit memory, and because
  /// drafts look into every segment. Inserts do not wait if sealing or merging fails, lacks memory
  /// or is cancelled, because they would wait forever; then the disk refuses them, or drafts become
  /// slower.
  var mustWaitForCompaction: Bool {
    guard compactor != nil else { return false }
    let isBehind = lock.withLock {
      guard let history = state.history else { return false }
      // Parts that only wait for sessions to end do not count: inserts do not make more of them.
      let waiting = history.parts.dropLast().count { !$0.finished.isEmpty }
      return waiting > options.sealsWaitingMax && !state.failed.contains(.sealing)
        || history.segments.count > options.segmentsMax && !state.failed.contains(.merging)
          && state.merging == .possible
    }
    return isBehind && !isClosing
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

  /// Notes that a merge was abandoned because it turned out to take more memory than there is.
  func noteMergingNeeded(_ bytes: Int) {
    lock.withLock { state.mergeBytesScale *= 1.5 }
    noteMerging(.waiting(segments: 0, bytes: bytes))
  }

  /// The number of times in a row that merging was postponed for lack of memory, and the reason; nil
  /// if it was not.
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

  /// Replaces the view by one with new segments in place of others and of a part.
  func install(_ new: [UInt64], replacing old: [UInt64], retiring part: GrowingPart?)
    throws(StoreError)
  {
    let history = lock.withLock { UncheckedBox(state.history) }.value
    // The history is replaced only while the writer, whose thread this is, is paused.
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

  /// The number of finished sequences and of their tokens.
  var size: HistorySize { lock.withLock { state.history?.size ?? HistorySize() } }

  /// Ages of the sequences.
  var ages: CommitAges { lock.withLock { state.ages } }

  /// Notes the time of the wall clock before it stamps sequences from `nextOrder` on.
  func noteWallClock(seconds: UInt64, nextOrder: UInt64) {
    if settings.retention.ageSeconds == nil { return }
    let now = options.clock.now()
    lock.withLock { state.ages.note(wallSeconds: seconds, at: now, nextOrder: nextOrder) }
  }

  /// An upper bound of the age of the oldest sequence, in seconds; 0 if there is none. No sequence
  /// is older. All may be younger, because only the earliest stamp of a segment is known here.
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

  /// True if jobs that add history have to wait.
  var isMakingRoom: Bool { lock.withLock { state.roomNeeded != nil } && !isClosing }
  var roomNeeded: HistorySize? { lock.withLock { state.roomNeeded } }

  /// The reason why there is no room for the next job. It is returned once: for the job after that,
  /// making room is tried again.
  func takeRoomFailure() -> StoreError? {
    if isClosing { return .closed(corpus: name) }
    return lock.withLock {
      defer { state.roomFailure = nil }
      return state.roomFailure
    }
  }

  /// Removes the oldest sequences on another thread. `isMakingRoom` is true until that is done.
  func makeRoom(for needed: HistorySize) {
    lock.withLock { state.roomNeeded = needed }
    if let compactor {
      compactor.add(self)
    } else {
      // An error is kept for the job that waits.
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

  /// Called with the lock held.
  private func noteDamageWhileReading() -> StoreError {
    let failure = StoreError.corrupt(
      what: "an index, which changed after it was checked,", where: file.path)
    state.failure = failure
    compactor?.add(self, repairing: true)
    return failure
  }

  /// Reads the whole file again, and repairs damage, as opening does.
  ///
  /// - Throws: The damage that could not be repaired; calls fail with it from then on.
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

  /// The current statistics of the corpus. Holds the lock for some system calls.
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

  /// The space that the corpus's file takes on the disk, in bytes.
  public var bytesOnDisk: Int {
    lock.withLock { state.isClosed ? 0 : file.environment.usage().diskBytes }
  }

  /// The number of tokens in each segment, oldest first.
  public var segmentTokens: [Int] {
    lock.withLock { state.history?.segments.map(\.record.tokens) ?? [] }
  }

  /// The cancellation that long work checks.
  var cancellation: Cancellation { options.cancellation }

  /// True if long work should end.
  var isClosing: Bool { cancellation.isCancelled }

  /// Makes long work end with `cancelled`. Jobs that wait for room in the history fail with
  /// `closed`.
  func cancelLongWork() {
    cancellation.cancel()
    writer?.wake()
  }

  /// Writes acknowledged sequences to disk, also while the corpus is being closed.
  func commitAcknowledged() {
    do throws(StoreError) {
      try commit()
    } catch {
      writer?.waitIfStopping()
    }
  }

  /// True if the corpus was dropped or its store was closed. This is final.
  public var isClosed: Bool { lock.withLock { state.isClosed } }

  /// Writes waiting jobs, and ends the corpus's thread. Later calls fail with `closed`.
  func close() {
    cancelLongWork()
    writer?.stop()
    // Holders of an exclusive section notice that the corpus is closing, and end their
    // transactions.
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

  /// Replaces the history by the content of a file, between two writes. Open sessions continue:
  /// their shared output joins the new history. The caller holds all exclusive sections.
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

  /// Called with the lock held. Returns the sessions whose output is in the replaced history.
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

/// Carries a reference that is guarded by a lock out of the closure that holds the lock.
struct UncheckedBox<Value>: @unchecked Sendable {
  // @unchecked Sendable: each use states what prevents concurrent access to the value.
  let value: Value
  init(_ value: Value) { self.value = value }
}

/// A value that another thread sets once.
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
