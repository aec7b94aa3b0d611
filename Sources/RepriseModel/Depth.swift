/// The depth of a corpus and of its indexes: the length of the longest pattern whose count is kept, in
/// tokens, match and draft together.
public enum Depth {
  /// A sealed index keeps a length below 128 beside each token, in seven bits.
  public static let range = 2...127
  public static let standard = 64
}
