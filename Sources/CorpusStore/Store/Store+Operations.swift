import Concurrency
import CorpusFormat
import RepriseModel
import StoreErrors

extension Store {
  // MARK: Sequences

  /// Removes sequences of a corpus permanently, and lists the snapshots that keep what they hold.
  /// See `Corpus.forget`.
  public func forget(ids: [String], inCorpus name: CorpusName) throws(StoreError) -> ForgetReceipt {
    guard let corpus = try corpus(named: name) else { throw .corpusNotFound(name) }
    // Read first, so that nothing can fail after the removal.
    let older = try snapshots().filter { $0.corpus == name }.map(\.name)
    var receipt = try corpus.forget(ids: ids)
    receipt.olderSnapshots = older
    return receipt
  }

  /// Adds the sequences of one corpus to another, completely or not at all; sequences whose id the
  /// other corpus already holds are skipped. The added sequences come after all existing ones, in
  /// their own order, and keep the time of their commit. The source corpus stays unchanged.
  ///
  /// Both remain available for reading and writing; sequences that arrive at the source in the
  /// meantime may be left out.
  ///
  /// - Complexity: 1 µs a token. Memory: 512 bytes for each sequence to be added, and room to build
  ///   a segment of at most 8 million tokens, which is smaller if memory is short.
  /// - Throws: `memoryShort` if there are more sequences than memory has room for now.
  public func mergeCorpus(
    from source: CorpusName, into target: CorpusName,
    progress: @escaping ProgressReceiver = { _, _ in }
  ) throws(StoreError) -> MergeReceipt {
    guard let from = try corpus(named: source) else { throw .corpusNotFound(source) }
    guard let into = try corpus(named: target) else { throw .corpusNotFound(target) }
    if into.isReadOnly { throw .readOnly(corpus: target) }
    if from === into { throw .settings("a corpus cannot be merged into itself") }
    let differences = into.settings.differences(from: from.settings).filter(\.separatesTokens)
    if !differences.isEmpty { throw .settingsDiffer(differences: differences) }
    return try CorpusMerge(from.editor, into.editor).run(progress)
  }

  // MARK: Snapshots

  var snapshotFiles: Snapshots { Snapshots(directory: directory, options: options) }

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
    progress: @escaping ProgressReceiver = { _, _ in }
  ) throws(StoreError) -> SnapshotDescription {
    if directory == nil { throw .readOnly(corpus: corpus) }
    guard let source = try self.corpus(named: corpus) else { throw .corpusNotFound(corpus) }
    return try snapshotFiles.create(of: source.editor, named: name, progress: progress)
  }

  /// All snapshots in the store, by name. Those whose manifest cannot be read are left out; `check`
  /// reports them.
  public func snapshots() throws(StoreError) -> [SnapshotDescription] {
    try snapshotFiles.list()
  }

  /// The name of the corpus from which a snapshot in the store was taken, from its manifest.
  ///
  /// - Throws: `snapshotNotFound`, `snapshotDamaged`, `formatVersion`.
  public func corpus(ofSnapshot name: String) throws(StoreError) -> CorpusName {
    try SnapshotFile.manifest(try snapshotFiles.find(.named(name)).path).corpus
  }

  /// Reads a whole snapshot, and throws if anything is wrong with it: the digest of its contents,
  /// the structure of its database, the checksum of every record and chunk, the structure of every
  /// index.
  ///
  /// - Throws: `snapshotNotFound`; `snapshotDamaged` or `corrupt` for the first fault;
  ///   `formatVersion`; `cancelled`.
  public func verifySnapshot(
    _ source: SnapshotReference, progress: @escaping ProgressReceiver = { _, _ in }
  ) throws(StoreError) -> SnapshotDescription {
    try snapshotFiles.verify(source, progress: progress)
  }

  /// Deletes a snapshot of the store permanently.
  ///
  /// - Throws: `snapshotNotFound`, `snapshotName`.
  public func deleteSnapshot(named name: String) throws(StoreError) {
    try snapshotFiles.delete(named: name)
  }
}
