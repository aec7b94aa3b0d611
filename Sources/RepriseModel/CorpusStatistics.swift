/// A corpus in numbers.
public struct CorpusStatistics: Equatable, Sendable {
  /// The corpus's name.
  public var corpus: CorpusName
  public var settings: CorpusSettings
  /// Finished sequences that are on disk.
  public var sequences = 0
  /// Tokens in them, lead-ins included.
  public var tokens = 0
  /// Tokens of their lead-ins.
  public var leadInTokens = 0
  /// Tokens of open sessions that drafts may use and that are not on disk yet.
  public var openTokens = 0
  /// Bytes of the corpus's file.
  public var bytesOnDisk = 0
  /// Bytes of growing indexes and their sequences. Sealed indexes are counted on disk.
  public var bytesInMemory = 0
  /// Sealed indexes.
  public var segments = 0
  /// Segments that are to be merged when there is memory for it.
  public var segmentsWaiting = 0
  /// Open sessions.
  public var sessions = 0
  /// The order number of the oldest sequence.
  public var oldestOrder: UInt64?
  /// The order number of the newest sequence.
  public var newestOrder: UInt64?
  /// Sequences that were acknowledged and are not on disk yet; 0 unless the durability is `interval`.
  public var unsavedSequences = 0
  /// Damage that was found and set aside, and its consequence: one sentence each.
  public var damage: [String] = []

  public init(corpus: CorpusName, settings: CorpusSettings) {
    self.corpus = corpus
    self.settings = settings
  }

  /// Bytes on disk and in memory for each token; 0 where there are no tokens.
  public var bytesPerToken: Double {
    tokens == 0 ? 0 : Double(bytesOnDisk + bytesInMemory) / Double(tokens)
  }
}
