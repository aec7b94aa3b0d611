/// The bounds of the history that a corpus keeps. A bound that is nil does not exist.
///
/// When a call would take the history past a bound by more than one eighth, the oldest sequences
/// leave first, until the history with the call's sequences is within all bounds. What is kept thus
/// depends on the calls and their order alone, not on when compaction runs. Making room is on disk
/// before the call is: a crash between them leaves the history without both. Age is checked beside
/// that, several times in each eighth of it.
public struct Retention: Equatable, Sendable {
  /// The most tokens of finished sequences.
  public var tokens: Int?
  /// The most finished sequences.
  public var sequences: Int?
  /// The most seconds since a sequence was committed.
  public var ageSeconds: Int?

  public init(tokens: Int? = nil, sequences: Int? = nil, ageSeconds: Int? = nil) {
    self.tokens = tokens
    self.sequences = sequences
    self.ageSeconds = ageSeconds
  }

  public var isUnbounded: Bool { tokens == nil && sequences == nil && ageSeconds == nil }

  public static let tokensRange = 64...(1 << 40)
  public static let sequencesRange = 8...(1 << 40)
  /// The clock of sequences counts whole seconds; an eighth of the bound must be several of them.
  public static let ageSecondsRange = 60...(100 * 366 * 86_400)

  /// A bound that a single call can exceed.
  public enum Bound: String, Sendable {
    case tokens, sequences
  }
}

extension Retention: CustomStringConvertible {
  public var description: String {
    let bounds = [
      tokens.map { "\($0) tokens" }, sequences.map { "\($0) sequences" },
      ageSeconds.map { "\($0) s" },
    ].compactMap { $0 }
    return bounds.isEmpty ? "unbounded" : bounds.joined(separator: ", ")
  }
}
