/// The result of an insert.
public struct InsertReceipt: Equatable, Sendable {
  /// Sequences that are new in the corpus.
  public var inserted: Int
  /// Sequences that were there already, with the same id and the same tokens.
  public var duplicates: Int
  /// Tokens in the new sequences, without their lead-ins.
  public var tokens: Int
  /// The order number of the last new sequence; nil if none is new.
  public var lastOrder: UInt64?

  public init(
    inserted: Int = 0, duplicates: Int = 0, tokens: Int = 0, lastOrder: UInt64? = nil
  ) {
    self.inserted = inserted
    self.duplicates = duplicates
    self.tokens = tokens
    self.lastOrder = lastOrder
  }
}

/// The result of removing sequences by their ids.
public struct ForgetReceipt: Equatable, Sendable {
  /// Sequences that were there and are gone.
  public var forgotten: Int
  /// Tokens in them, lead-ins included.
  public var tokens: Int
  /// Ids that no sequence has.
  public var missing: Int
  /// Names of older snapshots of the corpus, which keep what they hold.
  public var olderSnapshots: [String]

  public init(
    forgotten: Int = 0, tokens: Int = 0, missing: Int = 0, olderSnapshots: [String] = []
  ) {
    self.forgotten = forgotten
    self.tokens = tokens
    self.missing = missing
    self.olderSnapshots = olderSnapshots
  }
}

/// The result of adding the sequences of one corpus to another.
public struct MergeReceipt: Equatable, Sendable {
  /// Sequences that are new in the corpus.
  public var sequences: Int
  /// Tokens in them, lead-ins included.
  public var tokens: Int
  /// Sequences that were there already, with the same id and the same tokens.
  public var duplicates: Int
  /// Sequences with an id that another sequence has there. That one stays.
  public var conflicts: Int

  public init(sequences: Int = 0, tokens: Int = 0, duplicates: Int = 0, conflicts: Int = 0) {
    self.sequences = sequences
    self.tokens = tokens
    self.duplicates = duplicates
    self.conflicts = conflicts
  }
}

/// The result of closing a session.
public struct RecordReceipt: Equatable, Sendable {
  /// Tokens of the recorded output, without its lead-in.
  public var recordedTokens: Int
  /// The order number of the recorded sequence; nil if nothing was recorded.
  public var order: UInt64?
  /// The reason why nothing was recorded; nil if something was.
  public var unrecordedReason: UnrecordedReason?

  /// The raw value is the reason's name in answers.
  public enum UnrecordedReason: String, CaseIterable, Sendable {
    /// The session was closed with `record` false.
    case notWanted = "record"
    /// The session was opened with `share` "never".
    case notShared = "share"
    /// The session has no output.
    case empty
    /// The corpus is served from a snapshot.
    case readOnly = "read_only"
    /// The output is longer than all that the corpus keeps.
    case retention
  }

  public init(
    recordedTokens: Int = 0, order: UInt64? = nil, unrecordedReason: UnrecordedReason? = nil
  ) {
    self.recordedTokens = recordedTokens
    self.order = order
    self.unrecordedReason = unrecordedReason
  }
}
