import RepriseModel

/// `snapshot.create`, `snapshot.verify`, and one entry of `snapshot.list`
extension SnapshotDescription: WireResult {
  public func write(to writer: inout JSONWriter) {
    writer.name("snapshot")
    writer.string(name)
    writer.name("corpus")
    writer.string(corpus.text)
    writer.name("sequences")
    writer.integer(sequences)
    writer.name("tokens")
    writer.integer(tokens)
    writer.name("bytes")
    writer.integer(bytes)
    writer.name("digest")
    writer.string(digest)
    writer.name("created_s")
    writer.integer(createdSeconds)
  }

  public init?(result: ResultObject) {
    guard let name = result.string("snapshot"), let corpus = result.corpusName("corpus"),
      let sequences = result.integer("sequences"), let tokens = result.integer("tokens"),
      let bytes = result.integer("bytes"), let digest = result.string("digest"),
      let created = result.integer("created_s"), created >= 0
    else { return nil }
    self.init(
      name: name, corpus: corpus, sequences: sequences, tokens: tokens, bytes: bytes,
      digest: digest, createdSeconds: UInt64(created))
  }
}

/// The store's snapshots: the result of `snapshot.list`.
public struct SnapshotList: WireResult, Equatable {
  public var snapshots: [SnapshotDescription]

  public init(snapshots: [SnapshotDescription]) {
    self.snapshots = snapshots
  }

  public func write(to writer: inout JSONWriter) {
    writer.name("snapshots")
    writer.beginArray()
    for snapshot in snapshots {
      writer.beginObject()
      snapshot.write(to: &writer)
      writer.endObject()
    }
    writer.endArray()
  }

  public init?(result: ResultObject) {
    guard let list = result.member("snapshots") else { return nil }
    snapshots = []
    list.forEachElement { (_, value) in
      if let snapshot = SnapshotDescription(result: ResultObject(value: value)) {
        snapshots.append(snapshot)
      }
    }
  }
}

/// The result of `snapshot.delete`; `deleted` is always true, because a missing snapshot is an
/// error.
public struct SnapshotDeleted: WireResult, Equatable {
  public var deleted: Bool

  public init(deleted: Bool) {
    self.deleted = deleted
  }

  public func write(to writer: inout JSONWriter) {
    writer.name("deleted")
    writer.bool(deleted)
  }

  public init?(result: ResultObject) {
    guard let deleted = result.bool("deleted") else { return nil }
    self.init(deleted: deleted)
  }
}
