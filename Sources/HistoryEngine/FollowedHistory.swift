import Drafting
import RepriseModel
import SuffixIndex

/// A session's matches in a history that others write to.
struct FollowedHistory: Sendable {
  /// The match of the context in each of the history's indexes, as they were at `generation`.
  private(set) var matches: [MatchCursor] = []
  /// The identities of those indexes.
  private var identities: [Int] = []
  private var generation = -1

  /// Adds the context from `known` on to the shared history, if it is shared, and updates the
  /// matches.
  ///
  /// Matches are refreshed before anything is added: a match that is the longest now stays the
  /// longest when its own continuation is added, because every new pattern ends in the new tokens.
  ///
  /// - Parameter sharedEnd: The place in the context where the session's shared text ends.
  mutating func follow(
    _ history: LiveHistory, _ session: DecodingSession, context: Span<Int32>, known: Int,
    sharedEnd: Int
  ) {
    let added = context.count - known
    let isShared = session.share == .live
    let standing = isShared ? history.standing(of: session) : nil
    let joined = standing?.tokens ?? 0
    let joins = isShared && sharedEnd > session.promptTokens
    // Beyond this, a new search reads fewer tokens than following would. A match must not be
    // followed either if tokens before its end are added as well, as a lead-in is.
    let isBehind = joins && joined < min(known, sharedEnd) - session.sharedStart
    let follows = added < session.history.depth && !isBehind
    if follows {
      let before = context.extracting(0..<known)
      if generation != history.generation { findNewIndexes(history, before) }
      for (position, index) in history.indexes.enumerated() {
        guard case .growing(let growing) = index else { break }
        growing.refresh(&matches[position], context: before)
      }
    }
    if joins && session.sharedStart + joined < sharedEnd {
      let text = context.extracting(session.sharedStart..<sharedEnd)
      history.extend(session, at: standing, to: text)
    }
    if follows {
      for (position, index) in history.indexes.enumerated() {
        for token in known..<context.count { index.advance(&matches[position], by: context[token]) }
      }
    } else {
      matches.removeAll(keepingCapacity: true)
      for index in history.indexes { matches.append(index.match(context)) }
      identities = history.identities
      generation = history.generation
    }
  }

  /// Aligns the matches with the history's indexes again. The context is searched for only in new
  /// indexes (sealing and merging add one at a time).
  private mutating func findNewIndexes(_ history: LiveHistory, _ context: Span<Int32>) {
    let known = matches
    matches.removeAll()
    for (position, index) in history.indexes.enumerated() {
      if let old = identities.firstIndex(of: history.identities[position]) {
        matches.append(known[old])
      } else {
        matches.append(index.match(context))
      }
    }
    identities = history.identities
    generation = history.generation
  }
}
