import CorpusStore
import RepriseModel

/// Operations of a store. Its own calls block, so each runs on a thread.
extension StoreAccess {
  func mergeCorpus(
    from source: CorpusName, into target: CorpusName, progress: @escaping OperationProgress
  ) async throws -> MergeReceipt {
    _ = try corpus(source)
    _ = try corpus(target)
    return try await onThread {
      try store.mergeCorpus(from: source, into: target, progress: progress)
    }
  }

  func forget(_ ids: [String], in corpus: CorpusName) async throws -> ForgetReceipt {
    _ = try self.corpus(corpus)
    return try await onThread { try store.forget(ids: ids, inCorpus: corpus) }
  }

  func createSnapshot(
    of corpus: CorpusName, named name: String?, progress: @escaping OperationProgress
  ) async throws -> SnapshotDescription {
    _ = try self.corpus(corpus)
    return try await onThread {
      try store.createSnapshot(ofCorpus: corpus, named: name, progress: progress)
    }
  }

  func snapshots() async throws -> [SnapshotDescription] {
    try await onThread { try store.snapshots() }
  }

  func verifySnapshot(
    _ snapshot: SnapshotReference, progress: @escaping OperationProgress
  ) async throws -> SnapshotDescription {
    try await onThread { try store.verifySnapshot(snapshot, progress: progress) }
  }

  func deleteSnapshot(_ name: String) async throws {
    try await onThread { try store.deleteSnapshot(named: name) }
  }

  func restore(
    _ snapshot: SnapshotReference, into corpus: CorpusName, replacing: Bool,
    progress: @escaping OperationProgress
  ) async throws -> CorpusStatistics {
    try await onThread {
      try store.restore(snapshot, into: corpus, replacing: replacing, progress: progress).stats()
    }
  }
}
