import Foundation
import Glibc

/// A directory of corpora.
///
///     STORE/format              names the format and its version
///     STORE/lock                held by the process that has the store open
///     STORE/corpora/NAME/       one LMDB environment each
public final class Store: @unchecked Sendable {
  // @unchecked Sendable: `corpora` is guarded by `lock`; the rest never changes.
  public let path: String
  private let options: StoreOptions
  private let compactor: Compactor?
  private let lockFile: Int32
  private let lock = NSLock()
  /// Held while a corpus is made or dropped, which waits for the disk.
  private let changing = NSLock()
  private var corporaByName: [String: Corpus] = [:]

  private static let format = "reprise store, format 1\n"
  private static let formatVersion = 1

  /// Opens a store, with all of its corpora, or makes one in a new or empty directory.
  ///
  /// - Parameter report: Is told, in a sentence, of trouble in the background.
  public init(
    path: String, options: StoreOptions = StoreOptions(),
    report: @escaping @Sendable (String) -> Void = { _ in }
  ) throws(StoreError) {
    self.path = path
    self.options = options
    try Self.prepare(path)
    lockFile = try Self.takeLock(path)
    compactor = options.compactsInBackground ? Compactor(report: report) : nil
    do throws(StoreError) {
      for name in try Self.corpusDirectories(path) {
        let file = try CorpusFile(
          path: "\(path)/corpora/\(name)", creating: nil, options: options)
        corporaByName[name] = try Corpus(
          name: name, file: file, options: options, compactor: compactor)
      }
    } catch {
      closeCorpora()
      Glibc.close(lockFile)
      throw error
    }
  }

  // MARK: Corpora

  public func corpus(named name: String) -> Corpus? {
    lock.withLock { corporaByName[name] }
  }

  /// All corpora, by name.
  public func corpora() -> [Corpus] {
    lock.withLock { corporaByName.values.sorted { $0.name < $1.name } }
  }

  /// Whether a name may name a corpus: 1 to 64 ASCII letters, digits, '.', '_' or '-', not
  /// beginning with '.' or '-'. So no name leads out of the store's directory.
  public static func isCorpusName(_ name: String) -> Bool {
    (1...64).contains(name.utf8.count) && !name.hasPrefix(".") && !name.hasPrefix("-")
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
    // Only whoever makes or drops a corpus waits here, never a look-up.
    let result: Result<Corpus, StoreError> = changing.withLock {
      if let corpus = corpus(named: name) {
        let differences = corpus.settings.differences(from: settings)
        return differences.isEmpty
          ? .success(corpus) : .failure(.corpusExists(name: name, differences: differences))
      }
      do throws(StoreError) {
        let corpus = try make(name, settings)
        lock.withLock { corporaByName[name] = corpus }
        return .success(corpus)
      } catch {
        return .failure(error)
      }
    }
    return try result.get()
  }

  /// Made beside its place and renamed, so that a crash leaves either no corpus or a whole one.
  private func make(_ name: String, _ settings: CorpusSettings) throws(StoreError) -> Corpus {
    let (making, place) = ("\(path)/corpora/.making-\(name)", "\(path)/corpora/\(name)")
    try Self.removeDirectory(making)
    try Self.makeDirectory(making)
    _ = try CorpusFile(path: making, creating: settings, options: options)
    try Self.check(unsafe rename(making, place) == 0, place)
    Self.syncDirectory("\(path)/corpora")
    let file = try CorpusFile(path: place, creating: nil, options: options)
    return try Corpus(name: name, file: file, options: options, compactor: compactor)
  }

  /// Removes a corpus and its file. Sessions over it fail with `closed` from here on.
  ///
  /// - Returns: Whether there was one.
  public func dropCorpus(named name: String) throws(StoreError) -> Bool {
    let result: Result<Bool, StoreError> = changing.withLock {
      guard let corpus = (lock.withLock { corporaByName.removeValue(forKey: name) }) else {
        return .success(false)
      }
      compactor?.remove(corpus)
      corpus.close()
      do throws(StoreError) {
        try removeFiles(name)
        return .success(true)
      } catch {
        return .failure(error)
      }
    }
    return try result.get()
  }

  /// Renamed first, so that a crash leaves either the whole corpus or none.
  private func removeFiles(_ name: String) throws(StoreError) {
    let dropped = "\(path)/corpora/.dropped-\(name)"
    try Self.removeDirectory(dropped)
    try Self.check(unsafe rename("\(path)/corpora/\(name)", dropped) == 0, dropped)
    Self.syncDirectory("\(path)/corpora")
    try Self.removeDirectory(dropped)
  }

  /// Writes what waits, ends all threads and lets go of the directory.
  public func close() {
    closeCorpora()
    Glibc.close(lockFile)
  }

  private func closeCorpora() {
    compactor?.stop()
    for corpus in corpora() { corpus.close() }
    lock.withLock { corporaByName.removeAll() }
  }

  // MARK: The directory

  private static func prepare(_ path: String) throws(StoreError) {
    var isDirectory: ObjCBool = false
    if unsafe FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory) {
      if !isDirectory.boolValue { throw .notAStore(path: path, found: "a file") }
    } else {
      try makeDirectory(path)
    }
    let formatPath = "\(path)/format"
    if let bytes = FileManager.default.contents(atPath: formatPath) {
      let text = String(decoding: bytes.prefix(200), as: UTF8.self)
      if text == format { return try makeDirectoryIfMissing("\(path)/corpora") }
      let words = text.split(separator: " ")
      if text.hasPrefix("reprise store, format "), let last = words.last,
        let version = Int(last.filter { $0 != "\n" })
      {
        throw .formatVersion(path: path, found: version, expected: formatVersion)
      }
      throw .notAStore(path: path, found: "a file \"format\" of something else")
    }
    let contents: [String]
    do {
      contents = try FileManager.default.contentsOfDirectory(atPath: path)
    } catch {
      throw .inaccessible(path: path, reason: lastSystemError())
    }
    // "corpora" and "lock" alone: a process ended while it made the store.
    if let other = contents.first(where: { !["corpora", "lock"].contains($0) }) {
      throw .notAStore(path: path, found: "\"\(other)\" and no file \"format\"")
    }
    try makeDirectoryIfMissing("\(path)/corpora")
    do {
      try Data(format.utf8).write(to: URL(fileURLWithPath: formatPath), options: .atomic)
    } catch {
      throw .inaccessible(path: formatPath, reason: "\(error.localizedDescription)")
    }
    syncDirectory(path)
  }

  private static func takeLock(_ path: String) throws(StoreError) -> Int32 {
    let descriptor = unsafe open("\(path)/lock", O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
    try check(descriptor >= 0, "\(path)/lock")
    if flock(descriptor, LOCK_EX | LOCK_NB) != 0 {
      Glibc.close(descriptor)
      throw .inUse(path: path)
    }
    return descriptor
  }

  /// The names of corpora; what a crash left half made or half dropped is removed.
  private static func corpusDirectories(_ path: String) throws(StoreError) -> [String] {
    let directory = "\(path)/corpora"
    let names: [String]
    do {
      names = try FileManager.default.contentsOfDirectory(atPath: directory)
    } catch {
      throw .inaccessible(path: directory, reason: lastSystemError())
    }
    for name in names where name.hasPrefix(".making-") || name.hasPrefix(".dropped-") {
      try removeDirectory("\(directory)/\(name)")
    }
    return names.filter(isCorpusName).sorted()
  }

  private static func makeDirectory(_ path: String) throws(StoreError) {
    try check(unsafe mkdir(path, 0o700) == 0, path)
  }

  private static func makeDirectoryIfMissing(_ path: String) throws(StoreError) {
    try check(unsafe mkdir(path, 0o700) == 0 || errno == EEXIST, path)
  }

  private static func removeDirectory(_ path: String) throws(StoreError) {
    guard FileManager.default.fileExists(atPath: path) else { return }
    do {
      try FileManager.default.removeItem(atPath: path)
    } catch {
      throw .inaccessible(path: path, reason: error.localizedDescription)
    }
  }

  private static func check(_ success: Bool, _ path: String) throws(StoreError) {
    if !success { throw .inaccessible(path: path, reason: lastSystemError()) }
  }

  private static func lastSystemError() -> String {
    // SAFETY: strerror returns a C string for every number.
    unsafe String(cString: strerror(errno))
  }

  /// Makes a rename lasting. Where a file system cannot, there is nothing more to do.
  private static func syncDirectory(_ path: String) {
    let descriptor = unsafe open(path, O_RDONLY | O_DIRECTORY)
    if descriptor >= 0 {
      fsync(descriptor)
      Glibc.close(descriptor)
    }
  }
}
