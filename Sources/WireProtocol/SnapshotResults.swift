/// The properties of a snapshot: the result of `snapshot.create` and `snapshot.verify`, and one
/// entry of `snapshot.list`.
public struct SnapshotDescription: WireResult, Equatable {
  /// The name in the store; the path of a file outside the store.
  public var snapshot: String
  /// The corpus from which the snapshot was taken.
  public var corpus: String
  public var sequences: Int
  public var tokens: Int
  /// The size of the file in bytes.
  public var bytes: Int
  /// The digest of the contents, in hexadecimal digits.
  public var digest: String
  /// The time of creation, in seconds since 1970.
  public var createdSeconds: UInt64

  public init(
    snapshot: String, corpus: String, sequences: Int, tokens: Int, bytes: Int, digest: String,
    createdSeconds: UInt64
  ) {
    self.snapshot = snapshot
    self.corpus = corpus
    self.sequences = sequences
    self.tokens = tokens
    self.bytes = bytes
    self.digest = digest
    self.createdSeconds = createdSeconds
  }

  public func write(to writer: inout JSONWriter) {
    writer.name("snapshot")
    writer.string(snapshot)
    writer.name("corpus")
    writer.string(corpus)
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
    guard let snapshot = result.string("snapshot"), let corpus = result.string("corpus"),
      let sequences = result.integer("sequences"), let tokens = result.integer("tokens"),
      let bytes = result.integer("bytes"), let digest = result.string("digest"),
      let created = result.integer("created_s"), created >= 0
    else { return nil }
    self.init(
      snapshot: snapshot, corpus: corpus, sequences: sequences, tokens: tokens, bytes: bytes,
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
