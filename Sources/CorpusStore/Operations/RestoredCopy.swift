import Concurrency
import CorpusFormat
import RepriseModel
import StoreErrors

/// A copy of a snapshot's environment, in a directory beside the corpora. It is verified and checked
/// there, and then takes the place of a corpus.
struct RestoredCopy {
  let name: CorpusName
  let directory: StoreDirectory
  private var path: String { directory.making(corpus: name) }

  /// Copies the environment of a snapshot, and verifies it.
  init(
    of snapshot: String, as name: CorpusName, in directory: StoreDirectory,
    _ cancellation: Cancellation, _ progress: @escaping ProgressReceiver
  ) throws(StoreError) {
    self.name = name
    self.directory = directory
    try StoreDirectory.remove(path)
    try StoreDirectory.make(path)
    let writer = try FileWriter("\(path)/data.mdb")
    try SnapshotFile.verify(snapshot, cancellation, progress: progress) {
      (bytes) throws(StoreError) in try writer.append(bytes)
    }
    try writer.finish()
    StoreDirectory.sync(path)
    CrashPoint.restoreCopied.reached()
  }

  /// Removes what is left in the directory: a copy that was not used, or the corpus that it replaced.
  static func remove(_ name: CorpusName, in directory: StoreDirectory) {
    try? StoreDirectory.remove(directory.making(corpus: name))
  }

  /// Opens the copy and checks all of it.
  ///
  /// - Parameter settings: The settings that replace those in it.
  func open(
    _ settings: CorpusSettings?, _ options: StoreOptions
  ) throws(StoreError) -> CorpusFile {
    let file = try CorpusFile(
      path: path, origin: .copy, shownAs: directory.corpus(name), settings: settings,
      options: options.file)
    try DamageSearch.checkIndexes(of: file)
    return file
  }

  /// Puts the copy where the corpus belongs.
  ///
  /// - Parameter replacing: True if a corpus is there. It has the copy's place afterwards.
  func takePlace(replacing: Bool) throws(StoreError) {
    CrashPoint.restoreSwapBefore.reached()
    if replacing {
      try directory.exchangeCorpus(name)
    } else {
      try directory.placeCorpus(name)
    }
    CrashPoint.restoreSwapAfter.reached()
  }
}
