import Concurrency
import Drafting
import LMDB
import RepriseModel
import SuffixIndex

/// A named history. Its durable copy is on disk; drafts are answered from memory and from the map.
///
/// Calls may come from any thread. Drafting holds the corpus's lock for microseconds and never
/// waits for the disk. The corpus's own thread does all writing, and answers through a completion
/// when the data is on disk (or, with durability `interval`, will soon be).
///
/// Changes of the history's layout on the disk (sealing, merging, removing, restoring) hold an
/// exclusive section, prepare the change on their own thread, and have the writer commit it. See
/// `ExclusiveSections`.
public final class Corpus: Sendable {
  public let name: CorpusName
  /// The settings of the corpus. Replacing the history by a snapshot's does not change them.
  public let settings: CorpusSettings

  let activity = ActivityLog()
  let options: StoreOptions
  private let conditions: StandingConditions
  let sections = ExclusiveSections()
  /// nil if the history is only read.
  private let writer: Writer?
  private let compactor: Compactor?
  /// Held for microseconds: for one step of one session, or for some hundred tokens of an insert.
  private let state: Locked<State>

  fileprivate struct State {
    /// Replaced only while the writer is paused, by a thread that holds all exclusive sections, so
    /// the holder of any one of them may rely on it.
    var file: CorpusFile
    /// nil once the corpus is closed.
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
    name: CorpusName, file: CorpusFile, options: StoreOptions, conditions: StandingConditions,
    compactor: Compactor?
  ) throws(StoreError) {
    self.name = name
    self.conditions = conditions
    let options = options.within(options.cancellation)
    self.options = options
    self.compactor = file.isReadOnly ? nil : compactor
    settings = file.settings
    let loaded = try LoadedCorpus(file, options)
    let nextOrder = loaded.nextOrder
    state = Locked(
      State(
        file: file, history: loaded.history, damage: loaded.damage,
        nextSegment: loaded.nextSegment,
        ages: CommitAges(nextOrder: nextOrder, clock: options.clock)), rank: .corpus)
    if file.isReadOnly {
      writer = nil
    } else {
      let writer = Writer(
        nextOrder: nextOrder, durability: settings.durability,
        tokensWaitingMax: options.writeTokensWaitingMax, clock: options.clock)
      self.writer = writer
      writer.start(self)
    }
    self.compactor?.add(self)
  }

  /// The file that holds the history. It may be replaced at any time, except while the caller holds one
  /// of the corpus's exclusive sections or is the writer.
  var file: CorpusFile { state.withLock { $0.file } }

  var compactsInBackground: Bool { compactor != nil }
  var mergePolicy: MergePolicy {
    MergePolicy(
      options, settings.retention, bytesScale: state.withLock { $0.mergeBytesScale })
  }

  // MARK: Drafting

  /// Brings what a session knows of the history up to date, and drafts from it.
  ///
  /// - Parameters:
  ///   - context: The session's prompt and output; its last step ended before `known`.
  ///   - scratch: Receives the draft, as `shared`; no better one than `scoreMin` leaves it empty.
  func draft(
    for session: DecodingSession, _ following: inout FollowedHistory, context: Span<Int32>,
    known: Int, _ options: DraftOptions, betterThan scoreMin: Double,
    using scratch: inout DraftScratch
  ) throws(StoreError) {
    try state.withLock { (state) throws(StoreError) in
      let history = try readable(state)
      following.follow(history, session, context: context, known: known)
      scratch.drafter.draft(
        from: history.indexes, matches: following.matches, options: options,
        betterThan: scoreMin, into: &scratch.shared)
      try refuseIfDamaged(&state)
    }
  }

  /// The history, where it can be answered from.
  private func readable(_ state: State) throws(StoreError) -> LiveHistory {
    if let failure = state.failure { throw failure }
    guard let history = state.history, !state.isClosed else { throw .closed(corpus: name) }
    return history
  }

  /// Throws if bytes changed after they were checked: results computed from them are invalid.
  private func refuseIfDamaged(_ state: inout State) throws(StoreError) {
    guard state.history?.mark.isSet == true else { return }
    let failure = StoreError.corrupt(
      what: "an index, which changed after it was checked,", where: state.file.path)
    state.failure = failure
    compactor?.add(self, repairing: true)
    throw failure
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
    try state.withLock { (state) throws(StoreError) in
      let history = try readable(state)
      scratch.matches.removeAll(keepingCapacity: true)
      for index in history.indexes { scratch.matches.append(index.match(context)) }
      scratch.drafter.draft(
        from: history.indexes, matches: scratch.matches, options: options, into: &draft)
      try refuseIfDamaged(&state)
    }
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
    if let failure = (state.withLock { $0.failure }) {
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
    let answer = Promise<Result<InsertReceipt, StoreError>>()
    insert(sequences) { answer.fulfil($0) }
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
    var tail = GrowingIndex.Tail()
    let tokens = sequence.tokens
    var start = 0
    while start < tokens.count {
      let end = min(start + Self.tokensPerHold, tokens.count)
      // Only this thread creates parts, so the newest one remains the same.
      state.withLock { state in
        state.history?.current.index.extend(&tail, by: tokens.span.extracting(start..<end))
      }
      start = end
    }
    state.withLock { $0.history?.current.finish(sequence.finished) }
  }

  /// Removes a sequence from memory that is not in the log any more.
  func removeFromMemory(_ order: UInt64, _ tokens: [Int32]) {
    guard let part = state.withLock({ $0.history?.unlist(order) }) else { return }
    removeInPieces(tokens.span) { (count, tokens) in
      state.withLock { $0.history?.removeLast(count, of: tokens, from: part) }
    }
  }

  /// Turns the output of a session into a finished sequence, or removes it if it is not kept. (May
  /// run on any thread.)
  func finish(_ session: DecodingSession, _ sequence: PlannedSequence?, output: [Int32]) {
    let standing = state.withLock { $0.history?.standing(of: session)?.tokens }
    switch (sequence, standing) {
    case (let sequence?, .some):
      let finished = sequence.finished
      state.withLock { $0.history?.finish(session, as: finished, output.span) }
    case (let sequence?, nil): add(sequence)
    case (nil, let count?):
      removeInPieces(output.span.extracting(0..<count)) { (count, tokens) in
        state.withLock { $0.history?.removeLast(count, of: tokens, from: session) }
      }
    case (nil, nil): break
    }
    sessionDidLeave()
  }

  /// Removes tokens from the end to the beginning; see `GrowingIndex.removeLast`.
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

  /// Moves the output of a session to the newest part. Returns whether it was moved.
  func moveToCurrentPart(_ session: DecodingSession, _ output: Span<Int32>) -> Bool {
    state.withLock { state in
      guard state.failure == nil, !state.isClosed, let history = state.history else {
        return false
      }
      return history.moveToCurrentPart(session, output)
    }
  }

  /// A session has ended, so its part may be ready to be sealed now.
  func sessionDidLeave() {
    if state.withLock({ ($0.history?.parts.count ?? 0) > 1 }) { compactor?.add(self) }
  }

  func renewView() {
    // If no reader slot is free, the current view stays in use.
    guard let transaction = try? file.beginReading(), let old = view else { return }
    let new = SegmentView(transaction, old.segments)
    state.withLock { $0.history?.renew(new) }
  }

  /// Makes the writer read the clock again, for tests that move it.
  func wakeWriter() { writer?.wake() }

  // MARK: Unsaved sequences

  func noteUnsaved(sequences: Int, since: ContinuousClock.Instant?) {
    state.withLock { state in
      state.sequencesUnsaved = sequences
      state.unsavedSince = since
    }
  }

  func noteSaving(failure: StoreError?) {
    guard let failure else { return conditions.clear(.saving, corpus: name) }
    let sequences = state.withLock { $0.sequencesUnsaved }
    conditions.raise(
      .saving, corpus: name,
      cause:
        "\(sequences) acknowledged sequences are not on disk yet, and no others are taken: \(failure)",
      tolerated: settings.durability.failureTolerated)
  }

  /// A sentence for the log on acknowledged sequences that are not on disk; nil if all are.
  var unsavedReport: String? {
    let (sequences, displacement) = state.withLock { ($0.sequencesUnsaved, $0.displacement) }
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
    let file = file
    if file.environment.isRemoved {
      noteDisplacement(.displaced(what: "the file of corpus \(name)"), at: file.path)
    }
    return state.withLock { $0.displacement }
  }

  /// Raises or clears the condition of displaced files.
  ///
  /// - Parameter failure: nil if all files are in their place.
  func noteDisplacement(_ failure: StoreError?, at path: String) {
    state.withLock { $0.displacement = failure }
    if let failure {
      conditions.raise(
        .directory, corpus: name, cause: "\(path): \(failure)", tolerated: .zero)
    } else {
      conditions.clear(.directory, corpus: name)
    }
  }

  /// True if a directory holds the files that are open.
  func isInPlace(_ directory: String) -> Bool {
    fileUnlessClosed?.environment.isInPlace(in: directory) ?? true
  }

  /// The file, for questions to the system, which are asked without the lock. A closed file
  /// answers nothing.
  private var fileUnlessClosed: CorpusFile? { state.withLock { $0.isClosed ? nil : $0.file } }

  // MARK: Other processes

  /// Other processes that have a read transaction on the file, as a check has.
  public var otherReaders: [OtherReader] {
    fileUnlessClosed?.otherReaders ?? []
  }

  /// The number of commits that may pass while another process reads one state before the log names
  /// it.
  private static let transactionsBehindMax = 1000

  /// Frees the reader slots of processes that were killed, and reports processes that read for
  /// long.
  ///
  /// - Returns: The number of slots that were freed.
  func lookAfterReaders() -> Int {
    let file = fileUnlessClosed
    let freed = (try? file?.environment.freeSlotsOfDeadProcesses()) ?? 0
    let others = file?.otherReaders ?? []
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
    let isFull = state.withLock { state in
      guard let part = state.history?.current else { return false }
      return part.index.tokenCount >= sealTokens || part.finishedSize.sequences >= sealSequences
    }
    if isFull { beginPart() }
  }

  func beginPart(evenIfEmpty: Bool = true) {
    if !evenIfEmpty, state.withLock({ ($0.history?.current.index.tokenCount ?? 0) == 0 }) {
      return
    }
    // Created outside of the lock: its memory is cleared, which takes a millisecond.
    let part = GrowingPart(
      depth: settings.depth, tokensExpected: MergePolicy.sealTokens(options, settings.retention))
    state.withLock(moving: part) { (state, part) in state.history?.begin(part) }
    compactor?.add(self)
  }

  /// Memory of the part that receives new sequences, in bytes; 0 if nothing is written.
  var bytesInNewestPart: Int {
    if isReadOnly { return 0 }
    return state.withLock { $0.history?.current.index.bytes ?? 0 }
  }

  /// Has the writer begin a new part, so that the current one can be sealed.
  func endPart() { write(PartEndJob()) }

  /// The next step of sealing.
  enum Sealing {
    case nothing
    /// A part whose sequences are all finished. It is not the newest, so none is added to it.
    case seal(GrowingPart.ID, finished: [FinishedSequence], HistorySize)
    /// While a second part is full, the sessions that should move out of a part so that it can be
    /// sealed.
    case move([DecodingSession])
  }

  func nextSealing() -> Sealing {
    let sealTokens = MergePolicy.sealTokens(options, settings.retention)
    return state.withLock { state in
      let old = state.history?.parts.dropLast() ?? []
      if let part = old.first(where: \.open.isEmpty) {
        return .seal(part.id, finished: part.finished, part.finishedSize)
      }
      // A part that is full of open sequences would only fill another one.
      let left = old.first { !$0.finished.isEmpty || $0.index.tokenCount < sealTokens }
      guard old.count > 1, let left else { return .nothing }
      return .move(left.open.values.map(\.session))
    }
  }

  /// Finished sequences that are not sealed.
  func finishedInMemory() -> [FinishedSequence] {
    (state.withLock { $0.history?.parts.map(\.finished) ?? [] }).flatMap { $0 }
  }

  // MARK: Compaction

  /// True if inserts have to wait until more is sealed or merged: to limit memory, and because
  /// drafts look into every segment. Inserts do not wait if sealing or merging fails, lacks memory
  /// or is cancelled, because they would wait forever; then the disk refuses them, or drafts become
  /// slower.
  var mustWaitForCompaction: Bool {
    guard compactor != nil else { return false }
    let isBehind = state.withLock { state in
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
    state.withLock { state in
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
    state.withLock { state in
      state.merging = merging
      state.mergingDeferrals = isWaiting ? state.mergingDeferrals + 1 : 0
    }
    if isWaiting { activity.note { $0.mergesDeferred += 1 } }
  }

  /// Notes that a merge was abandoned because it turned out to take more memory than there is.
  func noteMergingNeeded(_ bytes: Int) {
    state.withLock { $0.mergeBytesScale *= 1.5 }
    noteMerging(.waiting(segments: 0, bytes: bytes))
  }

  /// The number of times in a row that merging was postponed for lack of memory, and the reason; nil
  /// if it was not.
  var mergingWait: (times: Int, sentence: String)? {
    let (merging, times) = state.withLock { ($0.merging, $0.mergingDeferrals) }
    guard case .waiting(let segments, let bytes) = merging else { return nil }
    return (
      times,
      "\(segments) segments wait to be merged until \(bytes) bytes of memory are free for it, of the "
        + "\(options.memory.limit) that the process may have; drafts ask more segments meanwhile, so "
        + "close sessions or allow more memory"
    )
  }

  var view: SegmentView? { state.withLock { $0.history?.view } }

  /// The mark that is set when an index of the history is found damaged while it is read.
  var damageMark: DamageMark? { state.withLock { $0.history?.mark } }

  func takeSegmentNumber() -> UInt64 {
    state.withLock { state in
      state.nextSegment += 1
      return state.nextSegment - 1
    }
  }

  /// Replaces the view by one with new segments in place of others and of a part.
  func install(_ new: [UInt64], replacing old: [UInt64], retiring part: GrowingPart.ID?)
    throws(StoreError)
  {
    // The history is replaced only while the writer, whose thread this is, is paused.
    guard let mark = damageMark, let view else { throw .closed(corpus: name) }
    let file = file
    let transaction = try file.beginReading()
    var segments = view.segments.filter { !old.contains($0.number) }
    for number in new { segments.append(try file.segment(number, transaction, mark: mark)) }
    segments.sort { $0.number < $1.number }
    let newView = SegmentView(transaction, segments)
    state.withLock { $0.history?.install(newView, replacing: part) }
  }

  // MARK: Room

  /// The number of finished sequences and of their tokens.
  var size: HistorySize { state.withLock { $0.history?.size ?? HistorySize() } }

  /// Ages of the sequences.
  var ages: CommitAges { state.withLock { $0.ages } }

  /// Notes the time of the wall clock before it stamps sequences from `nextOrder` on.
  func noteWallClock(seconds: UInt64, nextOrder: UInt64) {
    if settings.retention.ageSeconds == nil { return }
    let now = options.clock.now()
    state.withLock { $0.ages.note(wallSeconds: seconds, at: now, nextOrder: nextOrder) }
  }

  /// An upper bound of the age of the oldest sequence, in seconds; 0 if there is none. No sequence
  /// is older. All may be younger, because only the earliest stamp of a segment is known here.
  var oldestAge: Int {
    let now = options.clock.now()
    let (ages, records) = state.withLock { state in
      (state.ages, state.history?.segments.map(\.record) ?? [])
    }
    var oldest = 0
    func note(_ order: UInt64, _ seconds: UInt64) {
      oldest = max(oldest, ages.age(order: order, committed: seconds, at: now))
    }
    for sequence in finishedInMemory() { note(sequence.order, sequence.committedSeconds) }
    for record in records {
      note(record.orders.lowerBound, record.seconds.lowerBound)
      note(record.orders.upperBound, record.seconds.lowerBound)
    }
    return oldest
  }

  /// True if jobs that add history have to wait.
  var isMakingRoom: Bool { state.withLock { $0.roomNeeded != nil } && !isClosing }
  var roomNeeded: HistorySize? { state.withLock { $0.roomNeeded } }

  /// The reason why there is no room for the next job. It is returned once: for the job after that,
  /// making room is tried again.
  func takeRoomFailure() -> StoreError? {
    if isClosing { return .closed(corpus: name) }
    return state.withLock { $0.roomFailure.take() }
  }

  /// Removes the oldest sequences on another thread. `isMakingRoom` is true until that is done.
  func makeRoom(for needed: HistorySize) {
    state.withLock { $0.roomNeeded = needed }
    if let compactor {
      compactor.add(self)
    } else {
      // An error is kept for the job that waits.
      _ = WorkerThread("reprise-room", .background) { [self] in _ = try? keepWithinBounds() }
    }
  }

  func didMakeRoom(failure: StoreError?) {
    state.withLock { state in
      state.roomNeeded = nil
      state.roomFailure = failure
    }
    writer?.wake()
  }

  // MARK: Damage

  /// Reads the whole file again, and repairs damage, as opening does.
  ///
  /// - Throws: The damage that could not be repaired; calls fail with it from then on.
  func repair() throws(StoreError) {
    do throws(StoreError) {
      try sections.enterAll { () throws(StoreError) in
        try replace(in: file)
      }
    } catch {
      state.withLock { $0.failure = error }
      throw error
    }
  }

  // MARK: State

  /// Counts open sessions for `stats`.
  public func countSession(_ change: Int) {
    state.withLock { $0.sessions += change }
  }

  /// The current statistics of the corpus.
  public func stats() -> CorpusStatistics { metrics().statistics }

  /// The current statistics and figures of the corpus. Asks the system for some of them.
  public func metrics() -> CorpusMetrics {
    var metrics = CorpusMetrics(statistics: CorpusStatistics(corpus: name, settings: settings))
    metrics.activity = activity.current
    let now = options.clock.now()
    // Numbers are copied under the lock; the system is asked without it.
    let file: CorpusFile? = state.withLock { state in
      metrics.statistics.damage = state.damage
      if let failure = state.failure { metrics.statistics.damage.append("\(failure)") }
      guard let history = state.history, !state.isClosed else { return nil }
      metrics.statistics.sequences = history.size.sequences
      metrics.statistics.tokens = history.size.tokens
      for segment in history.segments {
        metrics.statistics.extendOrders(by: segment.record.orders)
      }
      for part in history.parts {
        if let orders = part.orders { metrics.statistics.extendOrders(by: orders) }
        metrics.statistics.openTokens += part.index.tokenCount - part.finishedSize.tokens
        metrics.statistics.bytesInMemory += part.index.bytes
      }
      metrics.statistics.segments = history.segments.count
      if case .waiting(let segments, let bytes) = state.merging {
        metrics.statistics.segmentsWaiting = segments
        metrics.mergeBytes = bytes
      }
      metrics.statistics.sessions = state.sessions
      metrics.statistics.unsavedSequences = state.sequencesUnsaved
      if let since = state.unsavedSince {
        metrics.unsavedSeconds = max(0, (now - since) / .seconds(1))
      }
      return state.file
    }
    guard let file else { return metrics }
    let usage = file.environment.usage()
    metrics.statistics.bytesOnDisk = usage.diskBytes
    metrics.mapBytes = usage.mapBytes
    metrics.mapUsedBytes = usage.usedBytes
    metrics.transactionsPinned = usage.transactionsPinned
    metrics.otherReaders = file.otherReaderCount
    return metrics
  }

  /// The space that the corpus's file takes on the disk, in bytes.
  public var bytesOnDisk: Int { fileUnlessClosed?.environment.usage().diskBytes ?? 0 }

  /// The number of tokens in each segment, oldest first.
  public var segmentTokens: [Int] {
    state.withLock { $0.history?.segments.map(\.record.tokens) ?? [] }
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
      try waitForWriter()
    } catch {
      writer?.waitIfStopping()
    }
  }

  /// True if the corpus was dropped or its store was closed. This is final.
  public var isClosed: Bool { state.withLock { $0.isClosed } }

  /// Writes waiting jobs, and ends the corpus's thread. Later calls fail with `closed`.
  func close() {
    cancelLongWork()
    writer?.stop()
    // Holders of an exclusive section notice that the corpus is closing, and end their
    // transactions.
    try? sections.enterAll { () throws(StoreError) in
      let file: CorpusFile? = state.withLock { state in
        if state.isClosed { return nil }
        state.isClosed = true
        // The history keeps sessions, and those this corpus. Its read transaction ends with it.
        state.history = nil
        return state.file
      }
      file?.environment.close()
    }
  }

  // MARK: Replacing

  /// Replaces the history by the content of a file, between two writes. Open sessions continue:
  /// their shared output joins the new history. The caller holds all exclusive sections.
  ///
  /// - Parameters:
  ///   - new: This corpus's file, or one that takes its place.
  ///   - prepared: The new file's contents where they were loaded already; otherwise they are loaded
  ///     while nothing is written.
  ///   - place: Puts the new file where the old one was.
  func replace(
    in new: CorpusFile, _ prepared: consuming sending LoadedCorpus? = nil,
    placing place: () throws(StoreError) -> Void = { () throws(StoreError) in }
  ) throws(StoreError) {
    guard let writer else { throw .readOnly(corpus: name) }
    let open = try install(new, prepared, placing: place, pausing: writer)
    for session in open { _ = session.moveToCurrentPart() }
    compactor?.add(self)
  }

  /// - Returns: The sessions whose output is in the replaced history.
  private func install(
    _ new: CorpusFile, _ prepared: consuming sending LoadedCorpus?,
    placing place: () throws(StoreError) -> Void, pausing writer: Writer
  ) throws(StoreError) -> [DecodingSession] {
    try writer.pause(of: name)
    var nextOrder: UInt64?
    defer { writer.goOn(nextOrder: nextOrder) }
    try place()
    let loaded = if let prepared { prepared } else { try LoadedCorpus(new, options) }
    nextOrder = loaded.nextOrder
    let old = state.withLock(moving: loaded) { (state, loaded) in
      let old = (file: state.file, sessions: state.history?.openSessions ?? [])
      state.replace(with: loaded, new, options.clock)
      return old
    }
    if old.file !== new { old.file.environment.close() }
    return old.sessions
  }
}

extension Corpus.State {
  fileprivate mutating func replace(
    with loaded: LoadedCorpus, _ new: CorpusFile, _ clock: StoreClock
  ) {
    loaded.history.follow(history)
    file = new
    history = loaded.history
    nextSegment = loaded.nextSegment
    ages = CommitAges(nextOrder: loaded.nextOrder, clock: clock)
    damage = loaded.damage
    failure = nil
  }
}

extension Durability {
  /// The time for which writing may fail before the service is no longer ready: far longer than the
  /// window, and long enough for a disk that is slow for a moment.
  fileprivate var failureTolerated: Duration {
    switch self {
    case .commit: .zero
    case .interval(let millis): max(.seconds(5), .milliseconds(millis) * 10)
    }
  }
}

extension CorpusStatistics {
  fileprivate mutating func extendOrders(by orders: ClosedRange<UInt64>) {
    oldestOrder = min(oldestOrder ?? .max, orders.lowerBound)
    newestOrder = max(newestOrder ?? 0, orders.upperBound)
  }
}
