import TestSupport

/// The settings of the load: its corpora, each with its own rule.
struct LoadSetting: Codable {
  struct Plan: Codable {
    /// The bound of the history. Only one connection writes to such a corpus, because the kept
    /// history depends on the order of the calls.
    var retention: KeepingRule?
    /// Milliseconds after which acknowledged sequences are on disk; nil if they are before.
    var intervalMillis: Int?
  }

  /// Written by all connections, restored, merged into.
  static let shared = "shared"
  /// Written by all connections; the source of merges.
  static let other = "other"
  /// Keeps a bounded history.
  static let kept = "kept"
  /// Acknowledges before it is on disk.
  static let lazy = "lazy"
  /// Created by a restore, and dropped.
  static let copy = "copy"

  var corpora: [String: Plan] = [
    shared: Plan(), other: Plan(), copy: Plan(),
    kept: Plan(retention: KeepingRule(tokens: 1500, sequences: 60)),
    lazy: Plan(intervalMillis: 40),
  ]
  /// Longest pattern whose count is kept; small, so that the oracle is fast.
  var depth = 8
  /// Small, so that segments are sealed and merged all the time.
  var sealTokens = 400
  /// The number of connections beside the one that takes snapshots, restores and merges.
  var writers = 4

  /// Random tokens are below this number. The first token of a sequence is its tag, which is
  /// `firstTag` or larger.
  static let alphabet: Int32 = 12
}
