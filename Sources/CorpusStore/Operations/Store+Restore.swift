import Foundation
import LMDB
import RepriseModel

extension Store {
  /// Verifies a snapshot and creates a corpus from it, completely or not at all.
  ///
  /// The copy is written and checked beside the corpora, and moved into place by one rename.
  ///
  /// - Parameter replacing: True if an existing corpus of that name is replaced: its depth and
  ///   tokenizer must be the snapshot's; its retention and durability stay. Sessions over it
  ///   continue. A corpus that cannot be used is replaced as well, by one with the snapshot's
  ///   settings.
  /// - Throws: `corpusExists` if a corpus exists and `replacing` is false, `settingsDiffer` if its
  ///   depth or tokenizer differs, `snapshotNotFound`, `snapshotDamaged`, `corpusName`, `readOnly`,
  ///   `diskFull`, `cancelled`.
  @discardableResult
  public func restore(
    _ source: SnapshotReference, into name: CorpusName, replacing: Bool = false,
    progress: @escaping Progress = { _, _ in }
  ) throws(StoreError) -> Corpus {
    if !replacing && holdsCorpus(named: name) { throw .corpusStands(name) }
    let (path, _) = try find(source)
    let manifest = try SnapshotFile.manifest(path)
    return try whileChanging { (directory) throws(StoreError) in
      var isDamaged = false
      var replaced: Corpus?
      do throws(StoreError) {
        replaced = try corpus(named: name)
      } catch {
        isDamaged = true
      }
      if replaced != nil || isDamaged {
        if !replacing { throw .corpusStands(name) }
        let differences =
          replaced?.settings.differences(from: manifest.settings).filter(\.separatesHistories)
          ?? []
        if !differences.isEmpty { throw .settingsDiffer(differences: differences) }
      }
      let making = directory.making(corpus: name)
      try StoreDirectory.remove(making)
      try StoreDirectory.make(making)
      do throws(StoreError) {
        try Self.copy(path, to: making, options.cancellation, progress)
        CrashPoint.restoreCopied.reached()
        let restored = try place(name, replaced, isDamaged: isDamaged, directory)
        // The replaced corpus, if there was one.
        try? StoreDirectory.remove(making)
        return restored
      } catch {
        try? StoreDirectory.remove(making)
        throw error
      }
    }
  }

  /// Copies the environment of a snapshot into a directory of its own, and verifies it.
  private static func copy(
    _ path: String, to directory: String, _ cancellation: Cancellation,
    _ progress: @escaping Progress
  ) throws(StoreError) {
    let writer = try FileWriter("\(directory)/data.mdb")
    try SnapshotFile.verify(path, cancellation, progress: progress) { (bytes) throws(StoreError) in
      try writer.append(bytes)
    }
    try writer.finish()
    StoreDirectory.sync(directory)
  }

  private func place(
    _ name: CorpusName, _ replaced: Corpus?, isDamaged: Bool, _ directory: StoreDirectory
  ) throws(StoreError) -> Corpus {
    let file = try CorpusFile(
      path: directory.making(corpus: name), origin: .copy, shownAs: directory.corpus(name),
      settings: replaced?.settings, options: replaced?.options ?? options)
    try file.checkIndexes()
    guard let replaced else {
      file.environment.close()
      CrashPoint.restoreSwapBefore.reached()
      if isDamaged {
        try directory.exchangeCorpus(name)
      } else {
        try directory.placeCorpus(name)
      }
      CrashPoint.restoreSwapAfter.reached()
      return try adopt(name, directory)
    }
    try replaced.sections.enterAll { () throws(StoreError) in
      // Everything that can fail happens before the exchange.
      let loaded = try LoadedCorpus(file, options)
      try options.cancellation.check()
      try replaced.replace(in: file, loaded) { () throws(StoreError) in
        CrashPoint.restoreSwapBefore.reached()
        try directory.exchangeCorpus(name)
        CrashPoint.restoreSwapAfter.reached()
      }
    }
    return replaced
  }
}
