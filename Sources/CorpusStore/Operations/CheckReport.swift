import RepriseModel

/// The findings of `StoreInspection.check`.
public struct CheckReport: Equatable, Sendable {
  /// The findings on one corpus.
  public struct Corpus: Equatable, Sendable {
    public var name: CorpusName
    public var sequences = 0
    public var tokens = 0
    public var segments = 0
    /// The space that its file takes on the disk.
    public var bytes = 0
    /// The damage of the corpus's file.
    public var damage: [Damage] = []
  }
  /// One damaged place.
  public struct Damage: Equatable, Sendable {
    /// A place, for example "segment 7".
    public var what: String
    /// The finding, for example "chunk 3: its checksum is not the record's".
    public var reason: String
    /// The advice for the operator.
    public var remedy: String
  }
  public var corpora: [Corpus] = []
  public var snapshots: [SnapshotDescription] = []
  /// Damage outside of corpora: the store's own files, snapshots.
  public var damage: [Damage] = []

  /// True if no damage was found.
  public var isClean: Bool { damage.isEmpty && corpora.allSatisfy(\.damage.isEmpty) }

  public init() {}
}
