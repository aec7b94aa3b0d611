/// The bounds of what the service takes. Each has its error, `limit_exceeded`, which names it as it
/// is called here in the wire's spelling.
public struct Limits: Equatable, Sendable {
  /// Bytes in one line.
  public var lineBytesMax = 16 << 20
  /// Requests in one batch array.
  public var batchRequestsMax = 1024
  /// Tokens in a context of `speculate`; all but the last `depth − 1` are ignored anyway.
  public var contextTokensMax = 1 << 20
  /// Contexts in one `speculate`.
  public var contextsMax = 4096
  /// Tokens in a prompt of `session.open`.
  public var promptTokensMax = 1 << 20
  /// Steps in one `session.step`.
  public var stepsMax = 4096
  /// Tokens accepted in one step.
  public var acceptTokensMax = 1 << 16
  /// What `max_tokens` may be.
  public var draftTokensMax = 1024
  /// Sequences in one `sequence.insert`.
  public var sequencesMax = 1 << 16
  /// Tokens in one sequence.
  public var sequenceTokensMax = 1 << 20
  /// Open sessions in all.
  public var sessionsMax = 4096
  /// Corpora in the store.
  public var corporaMax = 256
  /// Bytes in the name of a session.
  public var sessionNameBytesMax = 128
  /// Bytes in a sequence's id.
  public var sequenceIDBytesMax = 256
  /// Bytes in the name of a tokenizer.
  public var tokenizerBytesMax = 256
  /// Ids in one `sequence.forget`.
  public var forgetIDsMax = 1 << 16
  /// Bytes in the name of a snapshot.
  public var snapshotNameBytesMax = 128
  /// Bytes in the path of a snapshot's file: what the system allows.
  public var pathBytesMax = 4096

  public init() {}

  /// Smallest and largest `depth` of a corpus.
  public static let depthRange = 2...127
  /// Deepest nesting of a line. The protocol itself needs six levels.
  public static let nestingMax = 16

  /// All bounds by their names on the wire.
  public var named: [(name: String, value: Int)] {
    [
      ("line_bytes", lineBytesMax), ("batch_requests", batchRequestsMax),
      ("context_tokens", contextTokensMax), ("contexts", contextsMax),
      ("prompt_tokens", promptTokensMax), ("steps", stepsMax),
      ("accept_tokens", acceptTokensMax), ("max_tokens", draftTokensMax),
      ("sequences", sequencesMax), ("sequence_tokens", sequenceTokensMax),
      ("sessions", sessionsMax), ("corpora", corporaMax),
      ("session_name_bytes", sessionNameBytesMax), ("sequence_id_bytes", sequenceIDBytesMax),
      ("tokenizer_bytes", tokenizerBytesMax), ("forget_ids", forgetIDsMax),
      ("snapshot_name_bytes", snapshotNameBytesMax), ("path_bytes", pathBytesMax),
    ]
  }
}
