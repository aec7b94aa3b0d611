import Concurrency
import CorpusFormat
import RepriseModel
import StoreErrors
import SystemPackage

/// A directory of corpora and of their snapshots; see `StoreDirectory`.
///
/// A corpus whose file cannot be used does not prevent the others from being served: requests for
/// it throw the reason, and it can be replaced by a snapshot, or dropped.
public final class Store: Sendable {
  private let source: Source
  let options: StoreOptions
  let compactor: Compactor?
  /// The failures that last.
  public let conditions: StandingConditions
  private let report: StoreReport
  /// Held while a corpus is created or dropped, which waits for the disk.
  private let changing = ExclusiveSection(.corpora)
  private let table = OpenCorpora()
  /// The lock of the directory; nil for a store that serves a snapshot, and for one that is closed.
  private let lockFile: Locked<FileDescriptor?>

  /// The origin of the corpora.
  private enum Source {
    case directory(StoreDirectory)
    case snapshot(of: CorpusName)
  }

  /// nil for a store that serves a snapshot.
  var directory: StoreDirectory? {
    if case .directory(let directory) = source { directory } else { nil }
  }

  /// Opens a store with all its corpora, or creates one in a new or empty directory.
  ///
  /// - Parameter report: Receives the messages for the operator: damage, and failures that last.
  /// - Throws: `cancelled` soon after `options.cancellation` is cancelled.
  public init(
    path: String, options: StoreOptions = StoreOptions(),
    report: @escaping StoreReport = { _, _ in }
  ) throws(StoreError) {
    let directory = StoreDirectory(path: path)
    source = .directory(directory)
    let options = options.within(options.cancellation)
    self.options = options
    try directory.prepare()
    lockFile = Locked(try directory.lock())
    self.report = report
    conditions = StandingConditions(clock: options.clock, report: report)
    compactor =
      options.compactsInBackground
      ? Compactor(conditions, clock: options.clock, report: report) : nil
    do throws(StoreError) {
      try directory.removeUnfinished()
      for name in try directory.corpusNames() {
        open(name, directory, report)
        try options.cancellation.check()
      }
    } catch {
      close()
      throw error
    }
  }

  private func open(
    _ name: CorpusName, _ directory: StoreDirectory, _ report: StoreReport
  ) {
    do throws(StoreError) {
      let corpus = try open(name, directory)
      for damage in corpus.stats().damage { report(.error, "corpus \(name): \(damage)") }
      table.add(corpus)
    } catch {
      if error == .cancelled { return }
      report(.error, "corpus \(name) cannot be used: \(error)")
      table.add(name, failure: error)
    }
  }

  private func open(_ name: CorpusName, _ directory: StoreDirectory) throws(StoreError) -> Corpus {
    let file = try CorpusFile(path: directory.corpus(name), options: options.file)
    return try Corpus(
      name: name, file: file, options: options, conditions: conditions, compactor: compactor)
  }

  /// Serves a snapshot's corpus for reading: inserts fail with `readOnly`, and sessions are not
  /// recorded.
  public init(snapshot path: String, options: StoreOptions = StoreOptions()) throws(StoreError) {
    let options = options.within(options.cancellation)
    self.options = options
    report = { _, _ in }
    conditions = StandingConditions(clock: options.clock, report: report)
    compactor = nil
    let manifest = try SnapshotFile.verify(path, options.cancellation)
    source = .snapshot(of: manifest.corpus)
    let file = try CorpusFile(path: path, origin: .snapshot, options: options.file)
    try DamageSearch.checkIndexes(of: file)
    let corpus = try Corpus(
      name: manifest.corpus, file: file, options: options, conditions: conditions, compactor: nil)
    lockFile = Locked(nil)
    table.add(corpus)
  }

  // MARK: Memory

  /// The memory budget of the process.
  public var memory: MemoryBudget { options.memory }

  /// Seals the largest growing indexes, although they are not full, if memory is short: a segment
  /// is in the file and takes no memory.
  public func relieveMemory() { MemoryRelief(memory: memory).endParts(of: corpora()) }

  // MARK: Corpora

  /// Returns a corpus by its name.
  ///
  /// - Returns: nil if it does not exist.
  /// - Throws: The reason why an existing corpus cannot be used.
  public func corpus(named name: CorpusName) throws(StoreError) -> Corpus? {
    try table.find(name)
  }

  /// All corpora that can be used, by name.
  public func corpora() -> [Corpus] { table.all }

  /// Writes to disk what was acknowledged and is not there yet. Writes that fail stay pending. May
  /// be called while the store closes.
  ///
  /// - Returns: A sentence on each corpus with data that is still not on disk.
  public func commitAll() -> [String] {
    for corpus in corpora() where !corpus.isReadOnly { corpus.writer.commitAcknowledged() }
    return corpora().compactMap(\.unsavedReport)
  }

  /// Does the periodic work: frees the reader slots of processes that were killed, checks whether
  /// the files are still in their place, and reports failures again that last. Must be called about
  /// every second.
  ///
  /// - Complexity: Some system calls for each corpus; does not wait for the disk.
  public func lookAfter() {
    guard let directory else { return }
    for corpus in corpora() {
      let freed = corpus.readers.lookAfter()
      if freed > 0 {
        report(
          .notice,
          "freed \(freed) reader slots of corpus \(corpus.name): a process that read it was killed")
      }
    }
    lookAtPlaces(directory)
    conditions.repeatReports()
  }

  /// Skipped while a corpus is created, dropped or replaced: its directory is being moved then.
  private func lookAtPlaces(_ directory: StoreDirectory) {
    changing.enterIfFree {
      PlaceWatch(directory: directory, conditions: conditions)
        .look(at: corpora(), lockFile.withLock { $0 })
    }
  }

  /// The steps under way in the background, such as "merging corpus demo".
  public var workUnderWay: [String] { compactor?.workUnderWay ?? [] }

  /// True if a corpus of this name exists, also if it cannot be used.
  public func holdsCorpus(named name: CorpusName) -> Bool { table.holds(name) }

  /// The number of corpora, including those that cannot be used.
  public var corpusCount: Int { table.count }

  /// Creates a corpus, or returns the existing one with the same settings. Waits for the disk.
  ///
  /// - Throws: `settings`; `corpusExists` if the existing one has other settings;
  ///   `readOnly`.
  public func createCorpus(named name: CorpusName, _ settings: CorpusSettings) throws(StoreError)
    -> Corpus
  {
    if let problem = settings.problem { throw .settings(problem) }
    // Only creating or dropping a corpus waits here, never a look-up.
    return try whileChanging { (directory) throws(StoreError) in
      if let corpus = try corpus(named: name) {
        let differences = corpus.settings.differences(from: settings)
        if !differences.isEmpty { throw .corpusExists(name: name, differences: differences) }
        return corpus
      }
      let making = directory.making(corpus: name)
      try StoreDirectory.remove(making)
      try StoreDirectory.make(making)
      _ = try CorpusFile(path: making, creating: settings, options: options.file)
      try directory.placeCorpus(name)
      return try adopt(name, directory)
    }
  }

  /// Drops a corpus and its file. Sessions over it fail with `closed` from then on.
  ///
  /// - Returns: True if the corpus existed.
  public func dropCorpus(named name: CorpusName) throws(StoreError) -> Bool {
    try whileChanging { (directory) throws(StoreError) in
      if !holdsCorpus(named: name) { return false }
      // The step that can fail comes first: if it fails, the corpus stays in service.
      try directory.dropCorpus(name)
      if let corpus = table.remove(name) {
        corpus.close()
        conditions.forget(corpus: name)
      }
      // The corpus is dropped by now. Files that cannot be removed now are removed at the next
      // open.
      try? directory.removeDropped(name)
      return true
    }
  }

  /// Runs `body` while no other corpus is created, dropped or replaced.
  func whileChanging<Result>(
    _ body: (StoreDirectory) throws(StoreError) -> Result
  ) throws(StoreError) -> Result {
    switch source {
    case .snapshot(let corpus): throw .readOnly(corpus: corpus)
    case .directory(let directory):
      return try changing.enter { () throws(StoreError) in try body(directory) }
    }
  }

  /// Opens a corpus that is in its place, and serves it from now on.
  func adopt(_ name: CorpusName, _ directory: StoreDirectory) throws(StoreError) -> Corpus {
    do throws(StoreError) {
      let corpus = try open(name, directory)
      table.add(corpus)
      return corpus
    } catch {
      // It is on the disk, and can be dropped or replaced. The next opening of the store tries again.
      table.add(name, failure: error)
      throw error
    }
  }

  /// Makes all long work end with `cancelled`, within milliseconds: compaction, repairs, and calls
  /// that read or rewrite a corpus. Inserts, sessions and drafts continue.
  public func cancelLongWork() {
    options.cancellation.cancel()
    for corpus in corpora() { corpus.cancelLongWork() }
  }

  /// Writes waiting data, ends all threads and releases the directory. Long work gives way.
  ///
  /// - Returns: A sentence on each corpus with acknowledged data that is not on disk; empty if all
  ///   is.
  @discardableResult
  public func close() -> [String] {
    cancelLongWork()
    if let directory { lookAtPlaces(directory) }
    compactor?.stop()
    let corpora = corpora()
    for corpus in corpora { corpus.close() }
    let losses = corpora.compactMap(\.unsavedReport)
    table.removeAll()
    let lockFile = lockFile.withLock { $0.take() }
    try? lockFile?.close()
    return losses
  }
}
