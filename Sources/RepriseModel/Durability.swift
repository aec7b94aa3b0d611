/// The moment at which acknowledged sequences are on disk.
public enum Durability: Equatable, Sendable {
  /// Before they are acknowledged.
  case commit
  /// At most this many milliseconds after. A crash of the process loses what was acknowledged in the
  /// last such window, whole sequences, and never more; the store is consistent whatever happens.
  case interval(millis: Int)

  /// The milliseconds of the window; nil for `commit`.
  public var millis: Int? {
    if case .interval(let millis) = self { millis } else { nil }
  }

  public static let millisRange = 1...60_000
  public static let millisDefault = 100
}

extension Durability: CustomStringConvertible {
  public var description: String {
    switch self {
    case .commit: "commit"
    case .interval(let millis): "interval of \(millis) ms"
    }
  }
}
