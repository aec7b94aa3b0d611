import Drafting
import Foundation
import LMDB
import SuffixIndex

/// A named history: what it keeps is on disk, what it answers from is in memory and in the map.
///
/// Calls may come from any thread. Drafting holds the corpus's lock for microseconds and never
/// waits for the disk; writing is done by the corpus's own thread, which answers through a
/// completion when what it wrote is on disk.
public final class Corpus: @unchecked Sendable {
  // @unchecked Sendable: `history`, `damage` and the counters are guarded by `lock`; the rest never
  // changes.
  public let name: String
  public var settings: CorpusSettings { file.settings }

  let file: CorpusFile
  let options: StoreOptions
  let writer: Writer
  private let compactor: Compactor?
  private let lock = AdaptiveLock()
  private let history: LiveHistory
  private var damage: StoreError?
  private var isClosed = false
  private var sessions = 0
  /// What failed when it was last tried.
  private var failed: Set<Compaction> = []
  /// Segment numbers are never used again, so that what a crash left of one is not taken for
  /// another's.
  private var nextSegment: UInt64

  /// Opens a corpus in place: finds its segments, and adds what is not sealed to memory again.
  init(
    name: String, file: CorpusFile, options: StoreOptions, compactor: Compactor?
  ) throws(StoreError) {
    self.name = name
    self.file = file
    self.options = options
    self.compactor = compactor
    let loaded = try LoadedCorpus(file, options)
    history = LiveHistory(parts: loaded.parts, view: loaded.view)
    nextSegment = loaded.nextSegment
    writer = Writer(
      file, nextOrder: loaded.nextOrder, tokensWaitingMax: options.writeTokensWaitingMax)
    writer.start(self)
    compactor?.add(self, verifying: true)
  }

  // MARK: Drafting

  /// Calls `body` with the history, under the corpus's lock.
  func withHistory(
    _ body: (LiveHistory) throws(StoreError) -> Void
  ) -> Result<Void, StoreError> {
    lock.withLock {
      if let damage { return .failure(damage) }
      if isClosed { return .failure(.closed(corpus: name)) }
      do throws(StoreError) {
        return .success(try body(history))
      } catch {
        return .failure(error)
      }
    }
  }

  /// Drafts what follows a context, from the shared history alone.
  ///
  /// - Parameter draft: Receives the draft.
  public func speculate(
    _ context: Span<Int32>, _ options: DraftOptions, using scratch: inout DraftScratch,
    into draft: inout Draft
  ) throws(StoreError) {
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
  /// - Parameter parent: A closed session whose prompt and output this prompt begins with: its
  ///   index is taken over and extended. Anything else is as good as nil.
  public func openSession(
    prompt: consuming [Int32], share: SharePolicy = .live, continuing parent: DecodingSession? = nil
  ) -> DecodingSession {
    DecodingSession(self, prompt: prompt, share: share, continuing: parent)
  }

  // MARK: Writing

  /// Adds finished sequences. The completion is called once, on any thread: after the commit, or
  /// with an error, and then none of the sequences was added.
  public func insert(
    _ sequences: [NewSequence],
    completion: @escaping @Sendable (Result<InsertReceipt, StoreError>) -> Void
  ) {
    if let damage = (lock.withLock { damage }) {
      completion(.failure(damage))
      return
    }
    write(InsertJob(sequences, completion))
  }

  /// Adds finished sequences and waits until they are on disk.
  @discardableResult
  public func insert(_ sequences: [NewSequence]) throws(StoreError) -> InsertReceipt {
    let answer = Awaited<Result<InsertReceipt, StoreError>>()
    insert(sequences) { answer.set($0) }
    return try answer.wait().get()
  }

  func write(_ job: any WriteJob) {
    if let error = writer.enqueue(job) { job.didFail(error, self) }
  }

  /// How many tokens are added to memory under one hold of the lock: some 100 µs.
  private static let tokensPerHold = 256

  /// Adds a committed sequence to the newest part. On the writer thread, as is all that follows.
  func add(_ tokens: [Int32], order: UInt64) {
    // Only this thread begins parts, so the part stays the newest.
    let part = lock.withLock { UncheckedBox(history.current) }.value
    var tail = GrowingIndex.Tail()
    var start = 0
    while start < tokens.count {
      let end = min(start + Self.tokensPerHold, tokens.count)
      lock.withLock {
        part.index.extend(&tail, by: tokens.span.extracting(start..<end))
      }
      start = end
    }
    lock.withLock {
      part.finished.append(order)
      part.finishedTokens += tokens.count
    }
  }

  func addOutput(of session: DecodingSession, _ output: [Int32], order: UInt64) {
    lock.withLock { session.didRecord(order: order, output, in: history) }
    sessionDidLeave()
  }

  /// A session has ended: the part that it stood in may be free to be sealed now.
  func sessionDidLeave() {
    if lock.withLock({ history.parts.count > 1 }) { compactor?.add(self) }
  }

  func renewView() {
    // Where no reader slot is free, the view that there is serves on.
    guard let transaction = try? file.beginReading() else { return }
    let segments = lock.withLock { UncheckedBox(history.segments) }.value
    let view = SegmentView(transaction, segments)
    lock.withLock { history.renew(view) }
  }

  func beginPartIfFull() {
    let isFull = lock.withLock {
      history.current.index.tokenCount >= options.sealTokens
    }
    if isFull { beginPart() }
  }

  private func beginPart() {
    // Made outside of the lock: its memory is cleared, which takes a millisecond.
    let part = UncheckedBox(
      GrowingPart(depth: settings.depth, tokensExpected: options.sealTokens))
    lock.withLock { history.begin(part.value) }
    compactor?.add(self)
  }

  /// Whether so much waits to be sealed or merged that inserts have to wait: for the sake of memory,
  /// and of drafts, which look into every segment. They don't wait where that fails, because they
  /// would wait for ever; then the disk refuses them.
  var mustWaitForCompaction: Bool {
    guard compactor != nil else { return false }
    return lock.withLock {
      history.parts.count > options.sealsWaitingMax + 1 && !failed.contains(.sealing)
        || history.segments.count > options.segmentsMax && !failed.contains(.merging)
    }
  }

  // MARK: Compaction

  /// Seals or merges once. Returns whether there was anything to do.
  ///
  /// Each kind is called by one thread at a time: the compactor's, or a test's.
  func compactOnce(_ kind: Compaction) throws(StoreError) -> Bool {
    do throws(StoreError) {
      let did =
        switch kind {
        case .sealing: try sealOnePart()
        case .merging: try mergeOnce()
        }
      _ = lock.withLock { failed.remove(kind) }
      if did { writer.wake() }
      return did
    } catch {
      lock.withLock {
        failed.insert(kind)
        if case .corrupt = error { damage = error }
      }
      writer.wake()
      throw error
    }
  }

  /// Seals what is finished, and merges until there is nothing to merge.
  ///
  /// For commands and tests: must not be called while the store compacts in the background, nor
  /// beside inserts.
  ///
  /// - Parameter newestToo: Whether the newest part is sealed although it is not full.
  public func compact(newestToo: Bool = true) throws(StoreError) {
    precondition(compactor == nil, "the store compacts in the background")
    if newestToo, lock.withLock({ history.current.index.tokenCount > 0 }) { beginPart() }
    while true {
      if try !compactOnce(.sealing), try !compactOnce(.merging) { return }
    }
  }

  private func sealOnePart() throws(StoreError) -> Bool {
    let (part, stragglers) = lock.withLock {
      let old = history.parts.dropLast()
      let part = old.first { $0.open.isEmpty }
      // Sessions that are still open when a second part is full are moved out of the first.
      let stragglers = part == nil && old.count > 1 ? Array(old[0].open.values) : []
      return (UncheckedBox(part), UncheckedBox(stragglers))
    }
    guard let part = part.value else {
      // One that is just being closed stays where it is, and tells when it has left.
      var moved = false
      for session in stragglers.value where session.moveToCurrentPart() { moved = true }
      return moved
    }
    try Sealing(self, file).seal(part)
    return true
  }

  private func mergeOnce() throws(StoreError) -> Bool {
    let sealing = Sealing(self, file)
    guard try mergeChosen(sealing) else { return false }
    try sealing.releaseMerged()
    return true
  }

  private func mergeChosen(_ sealing: Sealing) throws(StoreError) -> Bool {
    guard let view = lock.withLock({ history.view }),
      let chosen = MergePolicy(options).choose(view.segments)
    else { return false }
    // The view keeps the old segments' bytes readable until they are merged.
    try sealing.merge(chosen, of: view)
    withExtendedLifetime(view) {}
    return true
  }

  func takeSegmentNumber() -> UInt64 {
    lock.withLock {
      nextSegment += 1
      return nextSegment - 1
    }
  }

  /// Swaps the view for one with a new segment in place of others or of a part.
  func install(_ segment: UInt64?, replacing old: [UInt64], part: GrowingPart?)
    throws(StoreError)
  {
    let transaction = try file.beginReading()
    var segments = lock.withLock { UncheckedBox(history.segments) }.value
    segments.removeAll { old.contains($0.number) }
    if let segment {
      segments.append(try LoadedCorpus.segment(segment, file, transaction))
      segments.sort { $0.number < $1.number }
    }
    let view = SegmentView(transaction, segments)
    let boxed = UncheckedBox(part)
    lock.withLock { history.install(view, replacing: boxed.value) }
  }

  /// Compares every chunk of every segment with its checksum; a damaged corpus answers no more.
  func verify() throws(StoreError) {
    guard let view = lock.withLock({ history.view }) else { return }
    for segment in view.segments {
      do throws(StoreError) {
        try segment.verify(in: file, view.transaction)
      } catch {
        lock.withLock { damage = error }
        throw error
      }
    }
  }

  // MARK: State

  /// Counts open sessions for `stats`.
  public func countSession(_ change: Int) {
    lock.withLock { sessions += change }
  }

  public func stats() -> CorpusStats {
    var stats = CorpusStats()
    lock.withLock {
      if isClosed { return }
      stats.bytesOnDisk = file.environment.usage().diskBytes
      for segment in history.segments {
        stats.sequences += segment.record.sequences
        stats.tokens += segment.record.tokens
        stats.extendOrders(by: segment.record.orders)
      }
      for part in history.parts {
        stats.sequences += part.finished.count
        stats.tokens += part.finishedTokens
        if let first = part.finished.min(), let last = part.finished.max() {
          stats.extendOrders(by: first...last)
        }
        stats.openTokens += part.index.tokenCount - part.finishedTokens
        stats.bytesInMemory += part.index.bytes
      }
      stats.segments = history.segments.count
      stats.sessions = sessions
    }
    return stats
  }

  /// Tokens in each segment, oldest first.
  public var segmentTokens: [Int] {
    lock.withLock { history.segments.map(\.record.tokens) }
  }

  /// Writes what waits, and ends the corpus's thread. Calls after it fail with `closed`.
  func close() {
    writer.stop()
    lock.withLock {
      if isClosed { return }
      isClosed = true
      history.close()
      // Transactions are begun by the writer, which has stopped, by compaction, which the store
      // has stopped, and under this lock.
      file.environment.close()
    }
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
