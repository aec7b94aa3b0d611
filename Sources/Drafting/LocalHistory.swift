import RepriseModel
import SuffixIndex

/// A session's own prompt and output as one growing sequence. It is private to the session.
public final class LocalHistory {
  private let index: GrowingIndex
  private var tail = GrowingIndex.Tail()

  public init(depth: Int, tokensExpected: Int = 0) {
    index = GrowingIndex(depth: depth, tokensExpected: tokensExpected)
  }

  /// The number of tokens in the history.
  public var tokenCount: Int { index.tokenCount }

  /// Memory in use, in bytes.
  public var bytes: Int { index.bytes }

  /// Memory that is reserved, in bytes, in use or not.
  public var bytesKept: Int { index.bytesKept }

  /// Adds tokens at the end.
  ///
  /// - Complexity: 0.03 to 0.1 µs a token on real prompts.
  public func append(_ tokens: Span<Int32>) {
    index.extend(&tail, by: tokens)
  }

  /// The index, valid as long as the history lives and nothing is appended, and the match of the
  /// history's end in it.
  public var end: (index: AnyHistoryIndex, match: MatchCursor) {
    (.growing(index.reader), index.match(at: tail))
  }

  /// Drafts the tokens that follow the end of the history.
  public func draft(
    _ options: DraftOptions, using drafter: inout Drafter, into draft: inout Draft
  ) {
    let end = end
    drafter.draft(from: [end.index], matches: [end.match], options: options, into: &draft)
    draft.source = .local
  }
}
