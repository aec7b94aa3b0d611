import RepriseModel
import SuffixIndex

/// The outputs of a session's group, as they were when the session was opened, and the match of the
/// session's context in them. It is private to the session.
public final class GroupHistory {
  private let index: GrowingIndex
  /// The longest suffix of the context that occurs in the outputs.
  private var match: MatchCursor

  /// Indexes the outputs.
  ///
  /// - Parameters:
  ///   - context: The session's text so far.
  /// - Complexity: 0.1 to 0.3 µs for each token of the outputs.
  public init(depth: Int, _ group: OutputGroup, context: Span<Int32>) {
    index = GrowingIndex(depth: depth, tokensExpected: group.tokenCount)
    for output in group.outputs {
      var tail = GrowingIndex.Tail()
      index.extend(&tail, by: output.span)
    }
    match = AnyHistoryIndex.growing(index.reader).match(context)
  }

  /// Memory that is reserved, in bytes.
  public var bytesKept: Int { index.bytesKept }

  /// Follows the session's text.
  ///
  /// - Complexity: O(tokens), amortised.
  public func follow(_ tokens: Span<Int32>) {
    let reader = AnyHistoryIndex.growing(index.reader)
    for position in tokens.indices { reader.advance(&match, by: tokens[position]) }
  }

  /// The index, valid as long as this object lives, and the match of the context's end in it.
  public var end: (index: AnyHistoryIndex, match: MatchCursor) {
    (.growing(index.reader), match)
  }
}
