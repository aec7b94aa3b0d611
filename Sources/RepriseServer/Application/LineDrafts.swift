import RepriseModel
import WireProtocol

/// The drafts of a line in which only the most probable tokens of all drafts are verified: as many as a
/// budget allows, or as are worth their verification. All drafts are known before the first is answered.
struct LineDrafts {
  private let budget: Int
  private let cost: VerifyCost?
  private let batch: VerifyCost.Batch
  private(set) var drafts: [Result<Draft, WireError>] = []
  private var tokens = 0

  /// - Returns: nil for a call whose drafts do not depend on each other.
  init?(_ call: SessionStep) {
    if call.budget == nil && call.verifyCost == nil { return nil }
    let most =
      call.verifyCost == nil ? DraftBudget.range.upperBound : VerifyCost.draftedTokensMax
    budget = min(call.budget ?? most, most)
    cost = call.verifyCost
    batch = VerifyCost.Batch(sequences: call.steps.count, of: call.batch ?? 0)
  }

  mutating func append(_ error: WireError) { drafts.append(.failure(error)) }

  mutating func append(_ draft: Draft) {
    drafts.append(.success(draft))
    tokens += draft.count
    // The memory of a line is bounded by its budget: tokens that are not among the most probable of some
    // drafts are not among those of more.
    if tokens > 2 * budget + Self.tokensHeld { keep(budget) }
  }

  /// Tokens that are held beside twice those of the budget, so that few drafts are not divided often.
  private static let tokensHeld = 4096

  /// Keeps the tokens that are to be verified.
  mutating func divide() {
    var count = budget
    if let cost {
      var probabilities: [Float] = []
      probabilities.reserveCapacity(tokens)
      for case .success(let draft) in drafts { probabilities += draft.probs }
      probabilities.sort(by: >)
      count = min(count, cost.count(of: probabilities, batch))
    }
    keep(count)
  }

  /// Keeps the most probable tokens of all drafts.
  private mutating func keep(_ count: Int) {
    let known = drafts.map { (try? $0.get()) ?? Draft() }
    for (place, share) in DraftBudget.shares(of: count, among: known).enumerated() {
      guard case .success(var draft) = drafts[place] else { continue }
      draft.keepFirst(share)
      drafts[place] = .success(draft)
    }
    tokens = min(tokens, count)
  }
}
