import ToolSupport

/// What the load works on: four corpora, each held to a law of its own.
struct LoadSetting: Codable {
  struct Plan: Codable {
    /// The bound of what is kept. One connection alone writes to such a corpus, because what is kept
    /// depends on the order of the calls.
    var retention: KeepingRule?
    /// Milliseconds after which what was acknowledged is on disk; nil for before.
    var intervalMillis: Int?
  }

  /// Written by all, restored, merged into.
  static let shared = "shared"
  /// Written by all; the source of merges.
  static let other = "other"
  /// Keeps a bounded history.
  static let kept = "kept"
  /// Acknowledges before it is on disk.
  static let lazy = "lazy"
  /// Comes and goes: made by a restore, dropped.
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
  /// Connections beside the one that takes snapshots, restores and merges.
  var writers = 4

  /// Tokens are below this, tags above.
  static let alphabet: Int32 = 12
}
