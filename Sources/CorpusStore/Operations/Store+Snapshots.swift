import Concurrency
import Files
import Foundation
import LMDB
import RepriseModel
import SuffixIndex
import SystemPackage

extension Store {
  // MARK: Taking

  /// Takes a snapshot while the corpus is read and written: it contains everything that was
  /// acknowledged before the call.
  ///
  /// The file is written under a temporary name, synced and renamed.
  ///
  /// - Parameter name: 1 to 128 letters, digits, '.', '_' or '-', not beginning with '.' or '-';
  ///   nil for the corpus's name and the time.
  /// - Throws: `corpusNotFound`, `snapshotName`, `snapshotExists`; `readOnly` in a store that
  ///   serves a snapshot; `diskFull`.
  public func createSnapshot(
    ofCorpus corpus: CorpusName, named name: String? = nil,
    progress: @escaping Progress = { _, _ in }
  ) throws(StoreError) -> SnapshotDescription {
    guard let directory else { throw .readOnly(corpus: corpus) }
    guard let source = try self.corpus(named: corpus) else { throw .corpusNotFound(corpus) }
    let name = name ?? Self.snapshotName(corpus, directory, options.clock)
    guard SnapshotReference.isName(name) else { throw .snapshotName(name) }
    return try source.sections.copies.enter { () throws(StoreError) in
      if FileManager.default.fileExists(atPath: directory.snapshot(name)) {
        throw .snapshotExists(name)
      }
      // Acknowledged sequences that are not on disk yet belong to it as well.
      try source.waitForWriter()
      let making = directory.making(snapshot: name)
      do throws(StoreError) {
        let manifest = try SnapshotWriter(source, making).write(progress)
        CrashPoint.snapshotWritten.reached()
        try StoreDirectory.move(making, to: directory.snapshot(name))
        CrashPoint.snapshotRenamed.reached()
        StoreDirectory.sync("\(directory.path)/snapshots")
        return manifest.description(name: name)
      } catch {
        try? StoreDirectory.remove(making)
        throw error
      }
    }
  }

  private static func snapshotName(
    _ corpus: CorpusName, _ directory: StoreDirectory, _ clock: StoreClock
  ) -> String {
    let now = Date(timeIntervalSince1970: Double(clock.wallSeconds()))
    let formatter = DateFormatter()
    formatter.locale = Locale(identifier: "en_US_POSIX")
    formatter.timeZone = TimeZone(secondsFromGMT: 0)
    formatter.dateFormat = "yyyyMMdd'T'HHmmss'Z'"
    let name = "\(corpus)-\(formatter.string(from: now))"
    var (unused, number) = (name, 1)
    while FileManager.default.fileExists(atPath: directory.snapshot(unused)) {
      number += 1
      unused = "\(name)-\(number)"
    }
    return unused
  }

  // MARK: Looking after

  /// All snapshots in the store, by name. Those whose manifest cannot be read are left out; `check`
  /// reports them.
  public func snapshots() throws(StoreError) -> [SnapshotDescription] {
    guard let directory else { return [] }
    return try directory.snapshotNames().compactMap { name in
      try? SnapshotFile.manifest(directory.snapshot(name)).description(name: name)
    }
  }

  /// The name of the corpus from which a snapshot in the store was taken, from its manifest.
  ///
  /// - Throws: `snapshotNotFound`, `snapshotDamaged`, `formatVersion`.
  public func corpus(ofSnapshot name: String) throws(StoreError) -> CorpusName {
    try SnapshotFile.manifest(try find(.named(name)).path).corpus
  }

  /// Reads a whole snapshot, and throws if anything is wrong with it: the digest of its contents,
  /// the structure of its database, the checksum of every record and chunk, the structure of every
  /// index.
  ///
  /// - Throws: `snapshotNotFound`; `snapshotDamaged` or `corrupt` for the first fault;
  ///   `formatVersion`; `cancelled`.
  public func verifySnapshot(
    _ source: SnapshotReference, progress: @escaping Progress = { _, _ in }
  ) throws(StoreError) -> SnapshotDescription {
    let (path, name) = try find(source)
    return try Self.verifySnapshot(path, name: name, options: options, progress: progress)
  }

  static func verifySnapshot(
    _ path: String, name: String, options: StoreOptions, progress: @escaping Progress = { _, _ in }
  ) throws(StoreError) -> SnapshotDescription {
    let manifest = try SnapshotFile.verify(path, options.cancellation, progress: progress)
    let file = try CorpusFile(path: path, origin: .snapshot, options: options)
    try file.checkIndexes()
    let size = try file.size()
    guard size == HistorySize(tokens: manifest.tokens, sequences: manifest.sequences) else {
      throw .snapshotDamaged(
        snapshot: path,
        reason: "it holds \(size.sequences) sequences with \(size.tokens) tokens, "
          + "and its manifest names \(manifest.sequences) with \(manifest.tokens)")
    }
    return manifest.description(name: name)
  }

  /// Deletes a snapshot of the store permanently.
  ///
  /// - Throws: `snapshotNotFound`, `snapshotName`.
  public func deleteSnapshot(named name: String) throws(StoreError) {
    let (path, _) = try find(.named(name))
    try systemCall(on: path) { () throws(Errno) in try Files.remove(path) }
    if let directory { StoreDirectory.sync("\(directory.path)/snapshots") }
  }

  func find(_ source: SnapshotReference) throws(StoreError) -> (path: String, name: String) {
    let (path, name): (String, String)
    switch source {
    case .file(let file): (path, name) = (file, file)
    case .named(let known):
      guard SnapshotReference.isName(known) else { throw .snapshotName(known) }
      guard let directory else { throw .snapshotNotFound(known) }
      (path, name) = (directory.snapshot(known), known)
    }
    guard FileManager.default.fileExists(atPath: path) else { throw .snapshotNotFound(name) }
    return (path, name)
  }
}

/// Copies a corpus's file, as its last transaction left it, and adds the manifest.
///
/// LMDB walks the tree and writes the pages in use to a pipe, on a thread of its own, in a read
/// transaction: no other thread waits for it, and pages freed in the meantime are not reused until
/// it is done. This end of the pipe computes the digest and writes the file.
private struct SnapshotWriter {
  private let corpus: Corpus
  private let path: String

  private static let pipeBytes = 1 << 20

  init(_ corpus: Corpus, _ path: String) {
    self.corpus = corpus
    self.path = path
  }

  func write(_ progress: Progress) throws(StoreError) -> SnapshotManifest {
    let file = try FileWriter(path)
    let digest = try copy(to: file, progress)
    CrashPoint.snapshotCopying.reached()
    let manifest = SnapshotManifest(
      environmentBytes: file.byteCount, createdSeconds: corpus.options.clock.wallSeconds(),
      size: try size(),
      digest: digest, corpus: corpus.name, settings: corpus.settings)
    try file.append(manifest.encoded().rawSpan)
    try file.finish()
    return manifest
  }

  /// The size of the copied history, read from the copy.
  private func size() throws(StoreError) -> HistorySize {
    try CorpusFile(path: path, origin: .snapshot, options: corpus.options).size()
  }

  private func copy(to file: FileWriter, _ progress: Progress) throws(StoreError) -> Digest {
    let (output, input) = try systemCall(on: "a pipe") { () throws(Errno) in
      try FileDescriptor.pipe(bytes: Self.pipeBytes)
    }
    let environment = corpus.file.environment
    let copied = Promise<Result<Void, LMDBError>>()
    _ = WorkerThread("reprise-copy", .background) {
      let result: Result<Void, LMDBError>
      do throws(LMDBError) {
        result = .success(try environment.copyCompacted(to: input.rawValue))
      } catch {
        result = .failure(error)
      }
      try? input.close()
      copied.fulfil(result)
    }
    let written: Result<Digest, StoreError>
    do throws(StoreError) {
      written = .success(try write(output, to: file, progress))
    } catch {
      written = .failure(error)
    }
    // The pipe's read end is closed here by now, so the writing side ends as well.
    let result = copied.wait()
    let digest = try written.get()
    if case .failure(let error) = result { throw corpus.file.error(error) }
    return digest
  }

  private func write(
    _ output: FileDescriptor, to file: FileWriter, _ progress: Progress
  ) throws(StoreError) -> Digest {
    // Closes the read end of the pipe when it is released.
    let reader = FileReader(descriptor: output, of: "a pipe")
    let total = corpus.file.environment.usage().usedBytes
    let digest = StreamingDigest()
    while try reader.next({ (bytes) throws(StoreError) in
      digest.append(bytes)
      try file.append(bytes)
    }) > 0 {
      try corpus.cancellation.check()
      CrashPoint.snapshotCopying.reached()
      progress(min(file.byteCount, total), total)
    }
    return digest.value
  }
}

extension CorpusFile {
  /// The size of the finished sequences, from their records.
  func size() throws(StoreError) -> HistorySize {
    let transaction = try beginReading()
    var size = HistorySize()
    for number in try segmentNumbers(transaction) {
      guard let record = try segmentRecord(number, transaction) else {
        throw .corrupt(what: "the record of segment \(number)", where: path)
      }
      size += HistorySize(tokens: record.tokens, sequences: record.sequences)
    }
    var damaged: UInt64?
    do throws(LMDBError) {
      try transaction.forEach(in: log) { key, value in
        guard let order = Key.number(key), let record = SequenceRecord(value, order: order) else {
          damaged = Key.number(key) ?? 0
          return false
        }
        size += HistorySize(tokens: record.tokens.count, sequences: 1)
        return !cancellation.isCancelled
      }
    } catch {
      throw self.error(error)
    }
    try cancellation.check()
    if let damaged { throw .corrupt(what: "sequence \(damaged) of the log", where: path) }
    return size
  }

  /// Checks all data of a file of doubtful origin from which calls will be answered: a forged
  /// checksum would hide wrong data.
  func checkIndexes() throws(StoreError) {
    let transaction = try beginReading()
    let repair = try Repair(self, transaction)
    if let found = repair.found.first { throw .corrupt(what: found, where: path) }
    for number in try segmentNumbers(transaction) {
      let segment = try self.segment(number, transaction, mark: DamageMark())
      do throws(SealedIndex.CheckError) {
        try segment.index.checkStructure { [cancellation] in cancellation.isCancelled }
      } catch {
        if error == .cancelled { throw .cancelled }
        throw .corrupt(what: "segment \(number), \(error),", where: path)
      }
    }
  }
}
