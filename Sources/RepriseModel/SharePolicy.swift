/// The moment at which a session's tokens join the shared history. The raw value is its name in calls
/// and flags.
public enum SharePolicy: String, CaseIterable, Sendable {
  /// As they are accepted, so that other sessions profit at once.
  case live
  /// When the session closes.
  case close
  /// Never: the session only reads.
  case never
}
