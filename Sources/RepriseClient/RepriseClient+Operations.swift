import WireProtocol

/// What operators ask for. These calls read or rewrite whole corpora, so each has an hour by
/// default (`configuration.operationDeadline`). The service does one after the other; a call whose
/// deadline has passed is still done.
extension RepriseClient {
  /// Removes sequences for good. When this returns they are in no draft, in no later snapshot and
  /// not on disk; older snapshots, which the answer names, still hold them.
  ///
  /// - Parameter ids: At most 65,536. Those that stand for nothing are counted, and no error.
  @discardableResult
  public func forget(
    ids: [String], inCorpus corpus: String, deadline: Duration? = nil
  ) async throws(ClientError) -> Forgotten {
    try await operate(.sequenceForget(SequenceForget(corpus: corpus, ids: ids)), deadline)
  }

  /// Takes a snapshot of a corpus, which is read and written meanwhile.
  ///
  /// - Parameter name: 1 to 128 letters, digits, '.', '_' or '-', not beginning with '.' or '-';
  ///   nil has the service choose one.
  @discardableResult
  public func createSnapshot(
    ofCorpus corpus: String, named name: String? = nil, deadline: Duration? = nil
  ) async throws(ClientError) -> SnapshotDescription {
    try await operate(.snapshotCreate(SnapshotCreate(corpus: corpus, name: name)), deadline)
  }

  /// The snapshots in the store, by name.
  ///
  /// - Parameter corpus: Only those that were taken of it; it need not exist any more.
  public func snapshots(
    ofCorpus corpus: String? = nil, deadline: Duration? = nil
  ) async throws(ClientError) -> [SnapshotDescription] {
    let list: SnapshotList = try await operate(.snapshotList(corpus: corpus), deadline)
    return list.snapshots
  }

  /// Reads a whole snapshot; fails with `corrupt` where anything is wrong with it.
  ///
  /// - Parameter snapshot: A path is the service's to read, and relative to where it was started.
  @discardableResult
  public func verifySnapshot(
    _ snapshot: SnapshotReference, deadline: Duration? = nil
  ) async throws(ClientError) -> SnapshotDescription {
    try await operate(.snapshotVerify(snapshot), deadline)
  }

  /// Removes a snapshot from the store, for good.
  @discardableResult
  public func deleteSnapshot(
    _ name: String, deadline: Duration? = nil
  ) async throws(ClientError) -> SnapshotDeleted {
    try await operate(.snapshotDelete(snapshot: name), deadline)
  }

  /// Verifies a snapshot and makes a corpus of it, whole or not at all.
  ///
  /// - Parameters:
  ///   - snapshot: A path is the service's to read, and relative to where it was started.
  ///   - replacing: Whether a corpus of that name is replaced. Sessions over it go on.
  /// - Returns: What now stands.
  @discardableResult
  public func restore(
    _ snapshot: SnapshotReference, into corpus: String, replacing: Bool = false,
    deadline: Duration? = nil
  ) async throws(ClientError) -> CorpusStatistics {
    try await operate(
      .snapshotRestore(SnapshotRestore(snapshot, corpus: corpus, replace: replacing)), deadline)
  }

  /// Adds the sequences of one corpus to another, all of them or none. Those whose id stands there
  /// are passed over.
  @discardableResult
  public func mergeCorpus(
    from source: String, into target: String, deadline: Duration? = nil
  ) async throws(ClientError) -> CorpusMerged {
    try await operate(.corpusMerge(CorpusMerge(from: source, into: target)), deadline)
  }

  private func operate<Answer: WireResult>(
    _ operation: Call, _ deadline: Duration?
  ) async throws(ClientError) -> Answer {
    try await call(operation, deadline ?? configuration.operationDeadline)
  }
}
