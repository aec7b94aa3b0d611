import Foundation
import Glibc

/// A directory of corpora and of their snapshots; see `StoreDirectory`.
///
/// A corpus whose file cannot be used does not keep the others from being served: asking for it
/// throws what is wrong with it, and it can be replaced by a snapshot, or dropped.
public final class Store: @unchecked Sendable {
  // @unchecked Sendable: `corporaByName`, `failures` and `lockFile` are guarded by `lock`; the rest never changes.

  /// nil for a store that serves a snapshot.
  let directory: StoreDirectory?
  let options: StoreOptions
  let compactor: Compactor?
  /// The failures that last.
  public let conditions: StandingConditions
  /// nil for a store that serves a snapshot, and for one that is closed.
  private var lockFile: Int32?
  private let report: StoreReport
  private let lock = NSLock()
  /// Held while a corpus is made or dropped, which waits for the disk.
  private let changing = NSLock()
  private var corporaByName: [String: Corpus] = [:]
  private var failures: [String: StoreError] = [:]

  /// Opens a store, with all of its corpora, or makes one in a new or empty directory.
  ///
  /// - Parameter report: Receives what an operator has to know: damage, and failures that last.
  /// - Throws: `cancelled` soon after `options.cancellation` is cancelled.
  public init(
    path: String, options: StoreOptions = StoreOptions(),
    report: @escaping StoreReport = { _, _ in }
  ) throws(StoreError) {
    let directory = StoreDirectory(path: path)
    self.directory = directory
    let options = options.within(options.cancellation)
    self.options = options
    try directory.prepare()
    lockFile = try directory.lock()
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
    _ name: String, _ directory: StoreDirectory, _ report: StoreReport
  ) {
    do throws(StoreError) {
      let corpus = try open(name, directory)
      for damage in corpus.stats().damage { report(.error, "corpus \(name): \(damage)") }
      corporaByName[name] = corpus
    } catch {
      if error == .cancelled { return }
      report(.error, "corpus \(name) cannot be used: \(error)")
      failures[name] = error
    }
  }

  private func open(_ name: String, _ directory: StoreDirectory) throws(StoreError) -> Corpus {
    let file = try CorpusFile(path: directory.corpus(name), options: options)
    return try Corpus(
      name: name, file: file, options: options, conditions: conditions, compactor: compactor)
  }

  /// Serves a snapshot's corpus for reading: inserts are refused with `readOnly`, and sessions are
  /// not recorded.
  public init(snapshot path: String, options: StoreOptions = StoreOptions()) throws(StoreError) {
    directory = nil
    let options = options.within(options.cancellation)
    self.options = options
    report = { _, _ in }
    conditions = StandingConditions(clock: options.clock, report: report)
    compactor = nil
    lockFile = nil
    let manifest = try SnapshotFile.verify(path, options.cancellation)
    let file = try CorpusFile(path: path, origin: .snapshot, options: options)
    try file.checkIndexes()
    corporaByName[manifest.corpus] = try Corpus(
      name: manifest.corpus, file: file, options: options, conditions: conditions, compactor: nil)
  }

  // MARK: Before opening

  /// Looks whether a store could be opened, or made, in a directory. Changes nothing, and does not look
  /// into corpora.
  ///
  /// - Throws: `notAStore`, `formatVersion`; `inaccessible` where the directory cannot be read.
  public static func examine(path: String) throws(StoreError) {
    _ = try StoreDirectory(path: path).examine()
  }

  /// How many corpora there are in a store that is not open; 0 where there is no store.
  public static func corpusCount(path: String) -> Int {
    (try? StoreDirectory(path: path).corpusNames().count) ?? 0
  }

  /// Reads a snapshot's file and compares it with its digest.
  ///
  /// - Throws: `snapshotDamaged`, `formatVersion`, `notAFile`; `inaccessible` where it cannot be read.
  public static func examine(
    snapshot path: String, cancellation: Cancellation = Cancellation()
  ) throws(StoreError) {
    try SnapshotFile.verify(path, cancellation)
  }

  // MARK: Memory

  /// The memory budget of the process.
  public var memory: MemoryBudget { options.memory }

  /// Has the largest growing indexes sealed where memory is short, although they are not full: a
  /// segment is in the file.
  public func relieveMemory() {
    var excess = memory.excess
    if excess <= 0 { return }
    let parts = corpora().map { ($0, $0.bytesInNewestPart) }.sorted { $0.1 > $1.1 }
    for (corpus, bytes) in parts where excess > 0 && bytes >= Self.partBytesWorthSealing {
      corpus.endPart()
      excess -= bytes
    }
  }

  /// Smaller parts are left: many small segments make drafts slow.
  private static let partBytesWorthSealing = 1 << 20

  // MARK: Corpora

  /// - Returns: nil where there is none.
  /// - Throws: Why the one that there is cannot be used.
  public func corpus(named name: String) throws(StoreError) -> Corpus? {
    let result: Result<Corpus?, StoreError> = lock.withLock {
      if let failure = failures[name] { return .failure(failure) }
      return .success(corporaByName[name])
    }
    return try result.get()
  }

  /// All corpora that can be used, by name.
  public func corpora() -> [Corpus] {
    lock.withLock { corporaByName.values.sorted { $0.name < $1.name } }
  }

  /// Puts on disk what was acknowledged and is not there yet. What fails stays to be written. May be called
  /// while the store closes.
  ///
  /// - Returns: What is not on disk then, one sentence each.
  public func commitAll() -> [String] {
    for corpus in corpora() where !corpus.isReadOnly { corpus.commitAcknowledged() }
    return corpora().compactMap(\.unsavedReport)
  }

  /// Does what no call asks for: frees the reader slots of processes that were killed, sees whether the
  /// files are still in their place, and reports again what goes on failing. To be called each second
  /// or so.
  ///
  /// - Complexity: Some system calls for each corpus; waits for no disk.
  public func lookAfter() {
    guard let directory else { return }
    for corpus in corpora() {
      let freed = corpus.lookAfterReaders()
      if freed > 0 {
        report(
          .notice,
          "freed \(freed) reader slots of corpus \(corpus.name): a process that read it was killed")
      }
    }
    lookAtPlaces(directory)
    conditions.repeatReports()
  }

  /// Not while a corpus is made, dropped or replaced: its directory is under way then.
  private func lookAtPlaces(_ directory: StoreDirectory) {
    guard changing.try() else { return }
    defer { changing.unlock() }
    let isLocked = lock.withLock { lockFile.map(directory.holds) ?? true }
    if isLocked {
      conditions.clear(.directory)
    } else {
      let failure = StoreError.displaced(what: "the store's directory or its lock file")
      conditions.raise(.directory, cause: "\(directory.path): \(failure)", tolerated: .zero)
    }
    for corpus in corpora() {
      let path = directory.corpus(corpus.name)
      let what =
        !isLocked
        ? "the store's directory or its lock file"
        : corpus.isInPlace(path) ? nil : "the directory of corpus \(corpus.name)"
      corpus.noteDisplacement(what.map { .displaced(what: $0) }, at: path)
    }
  }

  /// The steps under way in the background, such as "merging corpus demo".
  public var workUnderWay: [String] { compactor?.workUnderWay ?? [] }

  public func holdsCorpus(named name: String) -> Bool {
    lock.withLock { corporaByName[name] != nil || failures[name] != nil }
  }

  /// How many corpora there are, those that cannot be used among them.
  public var corpusCount: Int { lock.withLock { corporaByName.count + failures.count } }

  /// Whether a name may name a corpus: 1 to 64 ASCII letters, digits, '.', '_' or '-', not
  /// beginning with '.' or '-'. So no name leads out of the store's directory.
  public static func isCorpusName(_ name: String) -> Bool { isName(name, bytesMax: 64) }

  /// Whether a name may name a snapshot: as a corpus's, of up to 128 bytes.
  public static func isSnapshotName(_ name: String) -> Bool { isName(name, bytesMax: 128) }

  private static func isName(_ name: String, bytesMax: Int) -> Bool {
    (1...bytesMax).contains(name.utf8.count) && !name.hasPrefix(".") && !name.hasPrefix("-")
      && name.utf8.allSatisfy { byte in
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
          UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "_"),
          UInt8(ascii: "-"):
          true
        default: false
        }
      }
  }

  /// Makes a corpus, or returns the one that stands there with the same settings.
  ///
  /// Waits for the disk.
  public func createCorpus(named name: String, _ settings: CorpusSettings) throws(StoreError)
    -> Corpus
  {
    guard Self.isCorpusName(name) else { throw .corpusName(name) }
    if let problem = settings.problem { throw .settings(problem) }
    // Only whoever makes or drops a corpus waits here, never a look-up.
    return try whileChanging { (directory) throws(StoreError) in
      if let corpus = try corpus(named: name) {
        let differences = corpus.settings.differences(from: settings)
        if !differences.isEmpty { throw .corpusExists(name: name, differences: differences) }
        return corpus
      }
      let making = directory.making(corpus: name)
      try StoreDirectory.remove(making)
      try StoreDirectory.make(making)
      _ = try CorpusFile(path: making, creating: settings, options: options)
      try directory.placeCorpus(name)
      return try adopt(name, directory)
    }
  }

  /// Removes a corpus and its file. Sessions over it fail with `closed` from here on.
  ///
  /// - Returns: Whether there was one.
  public func dropCorpus(named name: String) throws(StoreError) -> Bool {
    try whileChanging { (directory) throws(StoreError) in
      if !holdsCorpus(named: name) { return false }
      // What may fail comes first: the corpus stays in service then.
      try directory.dropCorpus(name)
      let corpus = lock.withLock {
        failures[name] = nil
        return corporaByName.removeValue(forKey: name)
      }
      if let corpus {
        // Closed first: until then its writer may still have it compacted.
        corpus.close()
        compactor?.remove(corpus)
        conditions.forget(corpus: name)
      }
      // The corpus is dropped by now. What cannot be removed is at the next open.
      try? directory.removeDropped(name)
      return true
    }
  }

  /// Runs `body` while no other corpus is made, dropped or replaced.
  func whileChanging<Result>(
    _ body: (StoreDirectory) throws(StoreError) -> Result
  ) throws(StoreError) -> Result {
    guard let directory else {
      throw .readOnly(corpus: corpora().first?.name ?? "")
    }
    changing.lock()
    defer { changing.unlock() }
    return try body(directory)
  }

  /// Opens a corpus that stands in its place, and serves it from now on.
  func adopt(_ name: String, _ directory: StoreDirectory) throws(StoreError) -> Corpus {
    let corpus = try open(name, directory)
    lock.withLock {
      corporaByName[name] = corpus
      failures[name] = nil
    }
    return corpus
  }

  /// Has all long work end with `cancelled`, within milliseconds: compaction, repairs, and calls that read
  /// or rewrite a corpus. Inserts, sessions and drafts go on.
  public func cancelLongWork() {
    options.cancellation.cancel()
    for corpus in corpora() { corpus.cancelLongWork() }
  }

  /// Writes what waits, ends all threads and lets go of the directory. Long work gives way.
  ///
  /// - Returns: What of the acknowledged is not on disk, one sentence each: empty where all is.
  @discardableResult
  public func close() -> [String] {
    cancelLongWork()
    if let directory { lookAtPlaces(directory) }
    compactor?.stop()
    let corpora = corpora()
    for corpus in corpora { corpus.close() }
    let losses = corpora.compactMap(\.unsavedReport)
    lock.withLock {
      corporaByName.removeAll()
      if let lockFile { Glibc.close(lockFile) }
      lockFile = nil
    }
    return losses
  }
}
