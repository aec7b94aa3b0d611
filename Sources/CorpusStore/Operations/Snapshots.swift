import Concurrency
import CorpusFormat
import Files
import Foundation
import RepriseModel
import StoreErrors
import SystemPackage

/// The snapshots in a store's directory.
struct Snapshots {
  /// nil for a store that serves a snapshot: it has no others.
  let directory: StoreDirectory?
  let options: StoreOptions

  /// Takes a snapshot; see `Store.createSnapshot`.
  func create(
    of source: HistoryEditor, named wanted: String?, progress: @escaping ProgressReceiver
  ) throws(StoreError) -> SnapshotDescription {
    guard let directory else { throw .readOnly(corpus: source.corpus) }
    let name = wanted ?? unusedName(for: source.corpus, in: directory)
    guard SnapshotReference.isName(name) else { throw .snapshotName(name) }
    return try source.sections.copies.enter { () throws(StoreError) in
      if FileManager.default.fileExists(atPath: directory.snapshot(name)) {
        throw .snapshotExists(name)
      }
      // Acknowledged sequences that are not on disk yet belong to it as well.
      try source.writer.waitForJobs()
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

  /// A name that no snapshot has: the corpus's name and the time, with a number if that is taken.
  private func unusedName(for corpus: CorpusName, in directory: StoreDirectory) -> String {
    let now = Date(timeIntervalSince1970: Double(options.clock.wallSeconds()))
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

  /// All snapshots, by name. Those whose manifest cannot be read are left out.
  func list() throws(StoreError) -> [SnapshotDescription] {
    guard let directory else { return [] }
    return try directory.snapshotNames().compactMap { name in
      try? SnapshotFile.manifest(directory.snapshot(name)).description(name: name)
    }
  }

  /// Finds a snapshot's file, and the name that describes it.
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

  /// Reads a whole snapshot; see `Store.verifySnapshot`.
  func verify(
    _ source: SnapshotReference, progress: @escaping ProgressReceiver
  ) throws(StoreError) -> SnapshotDescription {
    let (path, name) = try find(source)
    return try Self.verify(path, name: name, options: options, progress: progress)
  }

  static func verify(
    _ path: String, name: String, options: StoreOptions,
    progress: @escaping ProgressReceiver = { _, _ in }
  ) throws(StoreError) -> SnapshotDescription {
    let manifest = try SnapshotFile.verify(path, options.cancellation, progress: progress)
    let file = try CorpusFile(path: path, origin: .snapshot, options: options.file)
    try DamageSearch.checkIndexes(of: file)
    let size = try file.size()
    guard size.tokens == manifest.tokens, size.sequences == manifest.sequences else {
      throw .snapshotDamaged(
        snapshot: path,
        reason: "it holds \(size.sequences) sequences with \(size.tokens) tokens, "
          + "and its manifest names \(manifest.sequences) with \(manifest.tokens)")
    }
    return manifest.description(name: name)
  }

  /// Deletes a snapshot permanently.
  func delete(named name: String) throws(StoreError) {
    let (path, _) = try find(.named(name))
    try systemCall(on: path) { () throws(Errno) in try Files.remove(path) }
    if let directory { StoreDirectory.sync("\(directory.path)/snapshots") }
  }
}
