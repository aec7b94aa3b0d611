import RepriseModel
import WireProtocol

/// Calls of operators. They read or rewrite whole corpora, so each has an hour by default
/// (`configuration.operationDeadline`). The service carries them out one after the other; a call
/// whose deadline has passed is still carried out.
extension RepriseClient {
  /// Removes sequences permanently. When this returns they are in no draft, in no later snapshot
  /// and not on disk; older snapshots, which the result names, still hold them.
  ///
  /// - Parameter ids: At most 65,536. Ids that no sequence has are counted and are not an error.
  @discardableResult
  public func forget(
    ids: [String], inCorpus corpus: CorpusName, deadline: Duration? = nil
  ) async throws(ClientError) -> ForgetReceipt {
    try await operate(.sequenceForget(SequenceForget(corpus: corpus, ids: ids)), deadline)
  }

  /// Takes a snapshot of a corpus, which can be read and written in the meantime.
  ///
  /// - Parameter name: 1 to 128 letters, digits, '.', '_' or '-', not beginning with '.' or '-';
  ///   nil lets the service choose one.
  @discardableResult
  public func createSnapshot(
    ofCorpus corpus: CorpusName, named name: String? = nil, deadline: Duration? = nil
  ) async throws(ClientError) -> SnapshotDescription {
    try await operate(.snapshotCreate(SnapshotCreate(corpus: corpus, name: name)), deadline)
  }

  /// The snapshots in the store, by name.
  ///
  /// - Parameter corpus: Only snapshots taken from it; it need not exist any more.
  public func snapshots(
    ofCorpus corpus: CorpusName? = nil, deadline: Duration? = nil
  ) async throws(ClientError) -> [SnapshotDescription] {
    let list: SnapshotList = try await operate(.snapshotList(corpus: corpus?.text), deadline)
    return list.snapshots
  }

  /// Reads a whole snapshot; fails with `corrupt` if anything is wrong with it.
  ///
  /// - Parameter snapshot: The service reads a path, which is relative to its working directory.
  @discardableResult
  public func verifySnapshot(
    _ snapshot: SnapshotReference, deadline: Duration? = nil
  ) async throws(ClientError) -> SnapshotDescription {
    try await operate(.snapshotVerify(snapshot), deadline)
  }

  /// Removes a snapshot from the store permanently.
  @discardableResult
  public func deleteSnapshot(
    _ name: String, deadline: Duration? = nil
  ) async throws(ClientError) -> SnapshotDeleted {
    try await operate(.snapshotDelete(snapshot: name), deadline)
  }

  /// Verifies a snapshot and creates a corpus from it, completely or not at all.
  ///
  /// - Parameters:
  ///   - snapshot: The service reads a path, which is relative to its working directory.
  ///   - replacing: True if an existing corpus of that name is replaced. Sessions over it continue.
  /// - Returns: The restored corpus.
  @discardableResult
  public func restore(
    _ snapshot: SnapshotReference, into corpus: CorpusName, replacing: Bool = false,
    deadline: Duration? = nil
  ) async throws(ClientError) -> CorpusStatistics {
    try await operate(
      .snapshotRestore(SnapshotRestore(snapshot, corpus: corpus, replace: replacing)), deadline)
  }

  /// Adds the sequences of one corpus to another, all of them or none. Sequences whose id the other
  /// corpus already holds are skipped.
  @discardableResult
  public func mergeCorpus(
    from source: CorpusName, into target: CorpusName, deadline: Duration? = nil
  ) async throws(ClientError) -> MergeReceipt {
    try await operate(.corpusMerge(CorpusMerge(from: source, into: target)), deadline)
  }

  private func operate<Answer: WireResult>(
    _ operation: Call, _ deadline: Duration?
  ) async throws(ClientError) -> Answer {
    try await call(operation, deadline ?? configuration.operationDeadline)
  }
}
