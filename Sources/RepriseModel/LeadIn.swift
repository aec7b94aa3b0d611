/// The lead-in of a sequence: the last tokens of the prompt that its output answered. They stand before the
/// output in the history, so that the first tokens of a later output have something to match.
public enum LeadIn {
  /// The most tokens of a lead-in that a corpus may ask for; 0 keeps nothing of a prompt.
  public static let range = 0...64
  /// Longer lead-ins gained nothing in any trace; see docs/reports/drafting.md.
  public static let standard = 8

  /// The number of tokens at the end of a prompt that are its lead-in: at most `max`, and none from before
  /// a token that is not below `bound`.
  public static func count(atEndOf prompt: Span<Int32>, max: Int, below bound: Int32) -> Int {
    var count = 0
    while count < min(max, prompt.count), prompt[prompt.count - 1 - count] < bound { count += 1 }
    return count
  }
}
