import CorpusFormat
import Files
import Foundation
import RepriseModel
import StoreErrors
import SystemPackage

/// The directory of a store.
///
///     format                    names the format and its version
///     lock                      held by the process that has the store open
///     corpora/NAME/             one LMDB environment each
///     snapshots/NAME.snapshot   one file each
///
/// Names that begin with ".making-" belong to unfinished corpora and snapshots, or to those that
/// were replaced; names that begin with ".dropped-" to corpora that were being dropped when a
/// process ended. Both are removed at open. Everything is created under such a name, synced, and
/// moved into place by one rename, so that a crash leaves the old state or the new.
struct StoreDirectory: Sendable {
  let path: String

  static let format = "reprise store, format \(CorpusFile.formatVersion)\n"
  static let snapshotSuffix = ".snapshot"

  func corpus(_ name: CorpusName) -> String { "\(path)/corpora/\(name)" }
  private func dropped(corpus name: CorpusName) -> String { "\(path)/corpora/.dropped-\(name)" }
  func making(corpus name: CorpusName) -> String { "\(path)/corpora/.making-\(name)" }
  func snapshot(_ name: String) -> String { "\(path)/snapshots/\(name)\(Self.snapshotSuffix)" }
  func making(snapshot name: String) -> String { "\(path)/snapshots/.making-\(name)" }

  // MARK: Opening

  /// The state of the path.
  enum State {
    case missing, empty, store
  }

  /// Checks whether the path holds a store or may become one. Changes nothing.
  ///
  /// - Throws: `notAStore`, `formatVersion`; `inaccessible` if it cannot be read.
  func examine() throws(StoreError) -> State {
    var isDirectory: ObjCBool = false
    guard unsafe FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory) else {
      return .missing
    }
    if !isDirectory.boolValue { throw .notAStore(path: path, found: "a file") }
    if try isFormatted() { return .store }
    // With only these names, a process ended while it created the store.
    if let other = try Self.names(in: path).first(where: {
      !["corpora", "snapshots", "lock"].contains($0) && !$0.hasPrefix(".format-")
    }) {
      throw .notAStore(path: path, found: "\"\(other)\" and no file \"format\"")
    }
    return .empty
  }

  /// Creates the store in a new or empty directory, or checks that it is a store.
  func prepare() throws(StoreError) {
    let state = try examine()
    if state == .missing { try Self.make(path) }
    try Self.makeIfMissing("\(path)/corpora")
    try Self.makeIfMissing("\(path)/snapshots")
    if state == .store { return }
    // The file is placed last, and complete.
    let making = "\(path)/.format-\(getpid())"
    try FileWriter.write([UInt8](Self.format.utf8), to: making)
    try Self.move(making, to: "\(path)/format")
    Self.sync(path)
  }

  /// True if the path holds a store of this version.
  ///
  /// - Throws: `formatVersion` for one of another version, `notAStore` for something else,
  ///   `inaccessible` if that cannot be told.
  func isFormatted() throws(StoreError) -> Bool {
    guard let text = try formatText() else { return false }
    if text == Self.format { return true }
    let words = text.split(separator: " ")
    if text.hasPrefix("reprise store, format "), let last = words.last,
      let version = Int(last.filter { $0 != "\n" })
    {
      throw .formatVersion(path: path, found: version, expected: Int(CorpusFile.formatVersion))
    }
    throw .notAStore(path: path, found: "a file \"format\" of something else")
  }

  /// The beginning of the file that names the format; nil if there is none. A file that cannot be read
  /// is an error: the directory may well be a store.
  private func formatText() throws(StoreError) -> String? {
    let file = "\(path)/format"
    let descriptor: FileDescriptor
    do throws(Errno) {
      descriptor = try .opened(file, .readOnly, .nonBlocking)
    } catch {
      if error == .noSuchFileOrDirectory { return nil }
      throw StoreError(error, path: file)
    }
    defer { try? descriptor.close() }
    var bytes = [UInt8](repeating: 0, count: 200)
    let count = try systemCall(on: file) { () throws(Errno) in
      try descriptor.read(at: 0, into: &bytes)
    }
    return String(decoding: bytes.prefix(count), as: UTF8.self)
  }

  /// Locks the store for this process, for as long as the descriptor is open.
  func lock() throws(StoreError) -> FileDescriptor {
    let descriptor = try systemCall(on: "\(path)/lock") { () throws(Errno) in
      try FileDescriptor.opened(
        "\(path)/lock", .readWrite, .create, permissions: .ownerReadWrite)
    }
    do {
      try descriptor.lockExclusively()
    } catch {
      try? descriptor.close()
      throw .inUse(path: path)
    }
    return descriptor
  }

  /// True if the lock that this process holds is the one in the directory: otherwise another
  /// process could lock the store as well.
  func holds(_ lock: FileDescriptor) -> Bool {
    guard let held = try? lock.stat() else { return true }
    return (try? Files.status("\(path)/lock"))?.isSameFile(as: held) ?? false
  }

  /// Removes what a crash left half created or half dropped.
  func removeUnfinished() throws(StoreError) {
    for directory in ["\(path)/corpora", "\(path)/snapshots"] {
      for name in try Self.names(in: directory)
      where name.hasPrefix(".making-") || name.hasPrefix(".dropped-") {
        try Self.remove("\(directory)/\(name)")
      }
    }
  }

  func corpusNames() throws(StoreError) -> [CorpusName] {
    try Self.names(in: "\(path)/corpora").compactMap(CorpusName.init).sorted()
  }

  func snapshotNames() throws(StoreError) -> [String] {
    try Self.names(in: "\(path)/snapshots").filter { $0.hasSuffix(Self.snapshotSuffix) }
      .map { String($0.dropLast(Self.snapshotSuffix.count)) }.filter(SnapshotReference.isName)
      .sorted()
  }

  // MARK: Corpora

  /// Moves a new corpus into place, where there is none yet.
  func placeCorpus(_ name: CorpusName) throws(StoreError) {
    // The file must be durable in its directory before the directory is in its place.
    Self.sync(making(corpus: name))
    try Self.move(making(corpus: name), to: corpus(name))
    Self.sync("\(path)/corpora")
  }

  /// Exchanges a new corpus and an existing one atomically. The old one then has the temporary
  /// name, and must be removed.
  func exchangeCorpus(_ name: CorpusName) throws(StoreError) {
    Self.sync(making(corpus: name))
    try systemCall(on: corpus(name)) { () throws(Errno) in
      try Files.exchange(making(corpus: name), corpus(name))
    }
    Self.sync("\(path)/corpora")
  }

  /// Moves a corpus out of its place, so that a crash leaves either the whole corpus or none.
  func dropCorpus(_ name: CorpusName) throws(StoreError) {
    let dropped = dropped(corpus: name)
    try Self.remove(dropped)
    try Self.move(corpus(name), to: dropped)
    Self.sync("\(path)/corpora")
  }

  /// Removes the files that `dropCorpus` moved away.
  func removeDropped(_ name: CorpusName) throws(StoreError) {
    try Self.remove(dropped(corpus: name))
  }

  // MARK: Files

  static func make(_ path: String) throws(StoreError) {
    try systemCall(on: path) { () throws(Errno) in try Files.createDirectory(path) }
  }

  private static func makeIfMissing(_ path: String) throws(StoreError) {
    do {
      try Files.createDirectory(path)
    } catch {
      if error != .fileExists { throw StoreError(error, path: path) }
    }
  }

  static func move(_ path: String, to place: String) throws(StoreError) {
    try systemCall(on: place) { () throws(Errno) in try Files.move(path, to: place) }
  }

  /// Removes a file, or a directory with its contents; no error if it does not exist.
  static func remove(_ path: String) throws(StoreError) {
    guard FileManager.default.fileExists(atPath: path) else { return }
    do {
      try FileManager.default.removeItem(atPath: path)
    } catch {
      throw StoreError(errno: systemError(error), path: path)
    }
  }

  static func names(in directory: String) throws(StoreError) -> [String] {
    do {
      return try FileManager.default.contentsOfDirectory(atPath: directory)
    } catch {
      throw StoreError(errno: systemError(error), path: directory)
    }
  }

  /// The system's error number in an error of Foundation.
  private static func systemError(_ error: any Error) -> Int32 {
    let underlying = (error as NSError).userInfo[NSUnderlyingErrorKey] as? NSError
    let code = underlying ?? error as NSError
    return code.domain == NSPOSIXErrorDomain ? Int32(code.code) : EIO
  }

  /// Makes a rename durable. A file system that does not support it offers no alternative.
  static func sync(_ directory: String) {
    guard let descriptor = try? FileDescriptor.opened(directory, .readOnly, .directory) else {
      return
    }
    try? descriptor.sync()
    try? descriptor.close()
  }
}
