import Concurrency
import CorpusFormat
import HistoryEngine
import LMDB
import RepriseModel
import StoreErrors

/// A named history. Its durable copy is on disk; drafts are answered from memory and from the map.
///
/// Calls may come from any thread. Drafting holds the lock of `history` for microseconds and never
/// waits for the disk. The corpus's own thread does all writing, and answers through a completion
/// when the data is on disk (or, with durability `interval`, will soon be).
///
/// This type is a façade: it puts the parts together, and forwards each call to the part that does the
/// work. Changes of the history's layout on the disk (sealing, merging, removing, restoring) hold an
/// exclusive section, prepare the change on their own thread, and have the writer commit it. See
/// `HistoryEditor`.
public final class Corpus: Sendable {
  public let name: CorpusName
  /// The settings of the corpus. Replacing the history by a snapshot's does not change them.
  public let settings: CorpusSettings
  /// The history that sessions share.
  public let history: SharedHistory

  let options: StoreOptions
  let stored: StoredHistory
  let writer: Writer
  let unsaved: UnsavedSequences
  let placement: FilePlacement
  let readers: ReaderWatch
  let editor: HistoryEditor
  let replacement: HistoryReplacement
  let compaction: CorpusCompaction
  private let requests: CompactionRequests
  private let compactsInBackground: Bool

  /// Opens a corpus in place: finds its segments, repairs what is damaged, and adds what is not
  /// sealed to memory again.
  init(
    name: CorpusName, file: CorpusFile, options: StoreOptions, conditions: StandingConditions,
    compactor: Compactor?
  ) throws(StoreError) {
    let options = options.within(options.cancellation)
    let compactor = file.isReadOnly ? nil : compactor
    let settings = file.settings
    let loaded = try LoadedCorpus(file, options)
    let nextOrder = loaded.nextOrder
    let requests = CompactionRequests(of: name, to: compactor)
    let stored = StoredHistory(of: name, in: file, loaded, keeper: requests, clock: options.clock)
    let unsaved = UnsavedSequences(of: name, settings.durability, conditions)
    let placement = FilePlacement(of: stored, conditions)
    let activity = ActivityLog()
    let room = RoomRequest()
    let progress = CompactionProgress(options, isInBackground: compactor != nil)
    let bounds = PartBounds(options, settings.retention)
    let writer =
      try file.isReadOnly
      ? Writer(refusing: name)
      : Writer(
        WriterContext(
          stored: stored, parts: PartStarter(history: stored.history, bounds: bounds),
          unsaved: unsaved, placement: placement, room: room, roomMaker: requests,
          progress: progress, activity: activity, options: options, durability: settings.durability),
        nextOrder: nextOrder)
    let editor = HistoryEditor(
      settings: settings, options: options, stored: stored, writer: writer,
      sections: ExclusiveSections(), activity: activity)
    let replacement = HistoryReplacement(
      stored: stored, writer: writer, sections: editor.sections, options: options, keeper: requests)
    self.name = name
    self.settings = settings
    self.options = options
    self.stored = stored
    self.writer = writer
    self.unsaved = unsaved
    self.placement = placement
    self.editor = editor
    self.replacement = replacement
    self.requests = requests
    history = stored.history
    readers = ReaderWatch(stored: stored, conditions: conditions)
    compactsInBackground = compactor != nil
    compaction = CorpusCompaction(
      sealer: Sealer(editor: editor, bounds: bounds),
      merger: Merger(editor: editor, progress: progress),
      retention: RetentionKeeper(editor: editor, room: room), replacement: replacement,
      progress: progress, writer: writer, cancellation: options.cancellation)
    // Both refer to each other until the corpus is closed. One that is only read needs no closing.
    if !file.isReadOnly { requests.begin(compaction) }
  }

  // MARK: Drafting

  /// Drafts the continuation of a context, from the shared history alone.
  ///
  /// - Parameter draft: Receives the draft.
  public func speculate(
    _ context: Span<Int32>, _ options: DraftOptions, using scratch: inout DraftScratch,
    into draft: inout Draft
  ) throws(StoreError) {
    try history.speculate(context, options, using: &scratch, into: &draft)
  }

  /// Begins a session. Indexing the prompt takes 0.03 to 0.1 µs a token, outside of any lock.
  ///
  /// - Parameters:
  ///   - vocabulary: All drafted token ids are below it. The prompt may contain others.
  ///   - group: The group that the output will belong to, with the outputs to draft from; see
  ///     `group(named:)`.
  ///   - parent: A closed session over this corpus whose prompt and output are the beginning of this
  ///     prompt: its index is taken over and extended. Any other session is treated as nil.
  public func openSession(
    prompt: consuming [Int32], share: SharePolicy = .live, vocabulary: Int32 = .max,
    group: GroupReading? = nil, continuing parent: DecodingSession? = nil
  ) -> DecodingSession {
    DecodingSession(
      over: history, recordedBy: writer, prompt: prompt, share: share, vocabulary: vocabulary,
      group: group, continuing: parent)
  }

  /// Reads the newest outputs of a group that are on disk. May wait for the disk.
  ///
  /// - Throws: `closed`.
  public func group(named name: String) throws(StoreError) -> GroupReading {
    // Taken first: what is forgotten while the outputs are read is noticed.
    let mark = history.groupMark
    let group = try stored.read { (file, transaction) throws(StoreError) in
      try GroupTables(of: file).outputs(of: name, transaction)
    }
    return GroupReading(group, mark: mark)
  }

  // MARK: Sequences

  /// True if nothing can be added or removed.
  var isReadOnly: Bool { writer.isReadOnly }

  /// Adds finished sequences. The completion is called once, on any thread: after the commit (with
  /// durability `interval`, as soon as the commit is certain unless the process ends), or with an
  /// error if none of the sequences was added.
  public func insert(
    _ sequences: [NewSequence],
    completion: @escaping @Sendable (Result<InsertReceipt, StoreError>) -> Void
  ) {
    if let failure = history.failure { return completion(.failure(failure)) }
    let bytes = sequences.reduce(0) { $0 + $1.bytes }
    guard let reservation = options.memory.reserve(bytes, for: .writes) else {
      return completion(.failure(.busy(retryAfterMillis: 100)))
    }
    writer.write(InsertJob(sequences, reservation, completion))
  }

  /// Adds finished sequences and waits until they are on disk.
  @discardableResult
  public func insert(_ sequences: [NewSequence]) throws(StoreError) -> InsertReceipt {
    let answer = Promise<Result<InsertReceipt, StoreError>>()
    insert(sequences) { answer.fulfil($0) }
    return try answer.wait().get()
  }

  /// Removes sequences permanently. When it returns they are in no draft, in no later snapshot and
  /// not on disk: the pages that held them are overwritten. Snapshots taken before keep what they
  /// hold.
  ///
  /// If it throws, a part of this may have been done; the call can be repeated.
  ///
  /// - Complexity: Waits for the disk, and rewrites the segments that hold the sequences: 1 µs for
  ///   each token of those.
  /// - Parameter patience: The time to wait for readers of an old state of the file: other
  ///   processes, such as a check.
  /// - Throws: `stillRead` when that time is over.
  public func forget(
    ids: [String], patience: Duration = .seconds(10)
  ) throws(StoreError) -> ForgetReceipt {
    try Forgetting(editor: editor, readers: readers).forget(ids: ids, patience: patience)
  }

  /// Calls `body` with every finished sequence, in the order of their numbers, until it returns
  /// false.
  ///
  /// - Complexity: Holds all tokens in memory for the duration of the call.
  public func forEachSequence(
    _ body: (KeptSequence) throws -> Bool
  ) throws {
    let sequences = try SequenceReading(editor: editor).all()
    for sequence in sequences.sorted(by: { $0.order < $1.order }) {
      if try !body(sequence) { return }
    }
  }

  /// Seals what is finished, and merges until there is nothing left to merge.
  ///
  /// For commands and tests: must not be called while the store compacts in the background, nor
  /// during inserts.
  ///
  /// - Parameter newestToo: True if the newest part is sealed although it is not full.
  public func compact(newestToo: Bool = true) throws(StoreError) {
    precondition(!compactsInBackground, "the store compacts in the background")
    if newestToo { parts.begin(evenIfEmpty: false) }
    while true {
      if try !compaction.compactOnce(.sealing), try !compaction.compactOnce(.merging) { return }
    }
  }

  /// Begins parts. Not to be used while the writer may begin one.
  var parts: PartStarter { PartStarter(history: history, bounds: compaction.sealer.bounds) }

  // MARK: Figures

  /// The current statistics of the corpus.
  public func stats() -> CorpusStatistics { metrics().statistics }

  /// The current statistics and figures of the corpus. Asks the system for some of them.
  public func metrics() -> CorpusMetrics {
    var metrics = CorpusMetrics(statistics: CorpusStatistics(corpus: name, settings: settings))
    metrics.activity = editor.activity.current(with: history.steps)
    metrics.statistics.damage = stored.damage
    guard history.describe(in: &metrics.statistics) else { return metrics }
    if case .waiting(let segments, let bytes) = compaction.progress.merging {
      metrics.statistics.segmentsWaiting = segments
      metrics.mergeBytes = bytes
    }
    let (sequences, since) = unsaved.current
    metrics.statistics.unsavedSequences = sequences
    if let since { metrics.unsavedSeconds = max(0, (options.clock.now() - since) / .seconds(1)) }
    // The system is asked without any lock.
    guard let environment = stored.fileUnlessClosed?.environment else { return metrics }
    let usage = environment.usage()
    metrics.statistics.bytesOnDisk = usage.diskBytes
    metrics.mapBytes = usage.mapBytes
    metrics.mapUsedBytes = usage.usedBytes
    metrics.transactionsPinned = usage.transactionsPinned
    metrics.otherReaders = readers.count
    return metrics
  }

  /// The space that the corpus's file takes on the disk, in bytes.
  public var bytesOnDisk: Int { stored.fileUnlessClosed?.environment.usage().diskBytes ?? 0 }

  /// The number of tokens in each segment, oldest first.
  public var segmentTokens: [Int] { history.segmentTokens }

  /// Other processes that have a read transaction on the file, as a check has.
  public var otherReaders: [OtherReader] { readers.others }

  /// A sentence for the log on acknowledged sequences that are not on disk; nil if all are.
  var unsavedReport: String? {
    unsaved.report(cause: writer.lastSaveFailure)
      ?? placement.failure.map { "corpus \(name): \($0)" }
  }

  // MARK: Closing

  /// True if the corpus was dropped or its store was closed. This is final.
  public var isClosed: Bool { history.isClosed }

  /// Makes long work end with `cancelled`. Jobs that wait for room in the history fail with
  /// `closed`.
  func cancelLongWork() {
    options.cancellation.cancel()
    writer.wake()
  }

  /// Writes waiting jobs, and ends the corpus's thread and all work on it. Later calls fail with
  /// `closed`.
  func close() {
    cancelLongWork()
    writer.stop()
    // Holders of an exclusive section notice that the corpus is closing, and end their
    // transactions.
    try? editor.sections.enterAll { () throws(StoreError) in stored.close() }
    requests.end()
  }
}
