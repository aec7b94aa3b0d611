import Drafting
import RepriseModel
import SuffixIndex

/// Scratch memory for drafting. Keep one per thread and pass it to every call, which then allocates
/// nothing.
public struct DraftScratch: Sendable {
  var drafter = Drafter()
  var shared = Draft()
  var matches: [MatchCursor] = []

  public init() {}
}
