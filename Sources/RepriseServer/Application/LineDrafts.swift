import RepriseModel
import WireProtocol

/// The drafts of a line that has a budget, which are all known before the first is answered.
struct LineDrafts {
  let budget: Int
  private(set) var drafts: [Result<Draft, WireError>] = []
  private var tokens = 0

  init(budget: Int) {
    self.budget = budget
  }

  mutating func append(_ error: WireError) { drafts.append(.failure(error)) }

  mutating func append(_ draft: Draft) {
    drafts.append(.success(draft))
    tokens += draft.count
    // The memory of a line is bounded by its budget: tokens that are not among the most probable of some
    // drafts are not among those of more.
    if tokens > 2 * budget + Self.tokensHeld { divide() }
  }

  /// Tokens that are held beside twice those of the budget, so that few drafts are not divided often.
  private static let tokensHeld = 4096

  /// Keeps the most probable tokens of all drafts.
  mutating func divide() {
    let known = drafts.map { (try? $0.get()) ?? Draft() }
    for (place, share) in DraftBudget.shares(of: budget, among: known).enumerated() {
      guard case .success(var draft) = drafts[place] else { continue }
      draft.keepFirst(share)
      drafts[place] = .success(draft)
    }
    tokens = min(tokens, budget)
  }
}
