import Concurrency
import CorpusFormat
import LMDB
import RepriseModel
import StoreErrors

extension Store {
  /// Verifies a snapshot and creates a corpus from it, completely or not at all.
  ///
  /// The copy is written and checked beside the corpora, and moved into place by one rename.
  ///
  /// - Parameter replacing: True if an existing corpus of that name is replaced: its depth and
  ///   tokenizer must be the snapshot's; its retention and durability stay. Sessions over it
  ///   continue. A corpus that cannot be used is replaced as well, by one with the snapshot's
  ///   settings.
  /// - Throws: `corpusStands` if a corpus exists and `replacing` is false, `settingsDiffer` if its
  ///   depth or tokenizer differs, `snapshotNotFound`, `snapshotDamaged`, `readOnly`, `diskFull`,
  ///   `cancelled`.
  @discardableResult
  public func restore(
    _ source: SnapshotReference, into name: CorpusName, replacing: Bool = false,
    progress: @escaping ProgressReceiver = { _, _ in }
  ) throws(StoreError) -> Corpus {
    if !replacing && holdsCorpus(named: name) { throw .corpusStands(name) }
    let (path, _) = try snapshotFiles.find(source)
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
      defer { RestoredCopy.remove(name, in: directory) }
      let copy = try RestoredCopy(
        of: path, as: name, in: directory, options.cancellation, progress)
      if let replaced {
        let file = try copy.open(replaced.settings, replaced.options)
        try replaced.replacement.replace(by: file) { () throws(StoreError) in
          try copy.takePlace(replacing: true)
        }
        return replaced
      }
      try copy.open(nil, options).environment.close()
      try copy.takePlace(replacing: isDamaged)
      return try adopt(name, directory)
    }
  }
}
