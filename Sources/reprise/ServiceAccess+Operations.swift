import RepriseClient
import RepriseModel
import WireProtocol

/// Operations of a service. It reports no progress, so `progress` is never called.
extension ServiceAccess {
  func mergeCorpus(
    from source: CorpusName, into target: CorpusName, progress: @escaping OperationProgress
  ) async throws -> MergeReceipt {
    try await client.mergeCorpus(from: source, into: target)
  }

  /// Uses as few calls as the service's limits allow, because each rewrites the segments of its
  /// sequences.
  func forget(_ ids: [String], in corpus: CorpusName) async throws -> ForgetReceipt {
    let limits = try await client.serverInfo().limits
    let idsMax = max(1, limits[.forgetIDs] ?? Limits().forgetIDsMax)
    // The request without its ids is shorter than this.
    let bytesMax = (limits[.lineBytes] ?? Limits().lineBytesMax) - 512
    var total = ForgetReceipt()
    var rest = ids[...]
    repeat {
      var (count, bytes) = (0, 0)
      for id in rest.prefix(idsMax) {
        bytes += lineBytes(of: id)
        if count > 0 && bytes > bytesMax { break }
        count += 1
      }
      let answer = try await client.forget(ids: Array(rest.prefix(count)), inCorpus: corpus)
      rest = rest.dropFirst(count)
      total.forgotten += answer.forgotten
      total.tokens += answer.tokens
      total.missing += answer.missing
      total.olderSnapshots = answer.olderSnapshots
    } while !rest.isEmpty
    return total
  }

  /// The most bytes of an id in a line, with its quotes and a comma.
  private func lineBytes(of id: String) -> Int {
    id.utf8.reduce(3) { bytes, byte in
      bytes + (byte < 0x20 ? 6 : byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") ? 2 : 1)
    }
  }

  func createSnapshot(
    of corpus: CorpusName, named name: String?, progress: @escaping OperationProgress
  ) async throws -> SnapshotDescription {
    try await client.createSnapshot(ofCorpus: corpus, named: name)
  }

  func snapshots() async throws -> [SnapshotDescription] { try await client.snapshots() }

  func verifySnapshot(
    _ snapshot: SnapshotReference, progress: @escaping OperationProgress
  ) async throws -> SnapshotDescription {
    try await client.verifySnapshot(snapshot)
  }

  func deleteSnapshot(_ name: String) async throws { try await client.deleteSnapshot(name) }

  func restore(
    _ snapshot: SnapshotReference, into corpus: CorpusName, replacing: Bool,
    progress: @escaping OperationProgress
  ) async throws -> CorpusStatistics {
    try await client.restore(snapshot, into: corpus, replacing: replacing)
  }
}
