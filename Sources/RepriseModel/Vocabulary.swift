/// The size of a model's vocabulary: all of its token ids are below it.
public enum Vocabulary {
  /// The largest size bounds nothing, because every token id is below it.
  public static let range = 1...Int(Int32.max)
}
