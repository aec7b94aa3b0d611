import CorpusStore
import TreeService
import WireProtocol

/// Operations of a store. Its own calls block, so each runs on a thread.
extension StoreAccess {
  func mergeCorpus(
    from source: String, into target: String, progress: @escaping OperationProgress
  ) async throws -> CorpusMerged {
    _ = try corpus(source)
    _ = try corpus(target)
    return try await onThread {
      CorpusMerged(try store.mergeCorpus(from: source, into: target, progress: progress))
    }
  }

  func forget(_ ids: [String], in corpus: String) async throws -> Forgotten {
    _ = try self.corpus(corpus)
    return try await onThread { Forgotten(try store.forget(ids: ids, inCorpus: corpus)) }
  }

  func createSnapshot(
    of corpus: String, named name: String?, progress: @escaping OperationProgress
  ) async throws -> SnapshotDescription {
    _ = try self.corpus(corpus)
    return try await onThread {
      SnapshotDescription(
        try store.createSnapshot(ofCorpus: corpus, named: name, progress: progress))
    }
  }

  func snapshots() async throws -> [SnapshotDescription] {
    try await onThread { try store.snapshots().map(SnapshotDescription.init) }
  }

  func verifySnapshot(
    _ snapshot: SnapshotReference, progress: @escaping OperationProgress
  ) async throws -> SnapshotDescription {
    try await onThread {
      SnapshotDescription(
        try store.verifySnapshot(SnapshotSource(snapshot), progress: progress))
    }
  }

  func deleteSnapshot(_ name: String) async throws {
    try await onThread { try store.deleteSnapshot(named: name) }
  }

  func restore(
    _ snapshot: SnapshotReference, into corpus: String, replacing: Bool,
    progress: @escaping OperationProgress
  ) async throws -> CorpusStatistics {
    if !replacing, store.holdsCorpus(named: corpus) { throw WireError.corpusStands(corpus) }
    return try await onThread {
      CorpusStatistics(
        try store.restore(
          SnapshotSource(snapshot), into: corpus, replacing: replacing, progress: progress))
    }
  }
}
