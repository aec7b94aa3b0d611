import Drafting
import RepriseModel
import SuffixIndex
import TestSupport

/// A batch of sessions over one history.
final class BatchDecoding {
  /// The way in which the tokens of a step are chosen.
  enum Choice {
    /// The most probable ones of all drafts.
    case budget(Int)
    /// As many of each draft.
    case even(Int)
    /// Those that are at least as probable.
    case single(Double)
    /// Those that are worth their verification.
    case byCost(VerifyCost)
    case nothing
  }

  private static let depth = 64
  private static let leastProbability = 0.004

  private struct Session {
    let record: Record
    let local: LocalHistory
    var tail = GrowingIndex.Tail()
    var position = 0
  }

  private let choice: Choice
  private let cost: VerifyCost?
  private let batch: Int
  private let leadIn: Int
  private let shared = GrowingIndex(depth: depth)
  private var drafter = EstimateDrafter()
  /// Steps of single sessions in full batches, and the tokens that were drafted and accepted in them.
  private(set) var steps = 0
  private(set) var drafted = 0
  private(set) var accepted = 0
  /// The time of the full batch's steps, if there is a model of their cost. The unit is a step without
  /// drafts.
  private var time = 0.0
  /// The modelled time of a token in full batches.
  var timePerToken: Double { time / Double(max(1, steps + accepted)) }

  init(_ choice: Choice, cost: VerifyCost? = nil, batch: Int, leadIn: Int) {
    self.choice = choice
    self.cost = cost
    self.batch = batch
    self.leadIn = leadIn
  }

  func insert(_ record: Record) {
    var tail = GrowingIndex.Tail()
    for token in record.prompt.suffix(leadIn) + record.output { shared.extend(&tail, by: token) }
  }

  func decode(_ records: ArraySlice<Record>) {
    var waiting = records.filter { !$0.output.isEmpty }[...]
    var sessions: [Session] = []
    while true {
      while sessions.count < batch, let record = waiting.popFirst() {
        let local = LocalHistory(depth: Self.depth)
        local.append(record.prompt.span)
        sessions.append(Session(record: record, local: local))
      }
      if sessions.isEmpty { return }
      var least = Self.leastProbability
      if case .single(let probability) = choice { least = probability }
      if case .byCost(let cost) = choice { least = cost.leastProbability(batch: sessions.count) }
      let drafts = sessions.map { draft($0, least) }
      let shares = shares(of: drafts)
      let isFull = sessions.count == batch
      if isFull, let cost { time += cost.time(drafted: shares.reduce(0, +), batch: batch) }
      for place in sessions.indices {
        let accepted = verify(&sessions[place], drafts[place], shares[place])
        if !isFull { continue }
        steps += 1
        drafted += shares[place]
        self.accepted += accepted
      }
      sessions.removeAll { $0.position == $0.record.output.count }
    }
  }

  private func draft(_ session: Session, _ least: Double) -> Draft {
    var draft = Draft()
    if case .nothing = choice { return draft }
    let end = session.local.end
    let output = session.record.output[..<session.position].suffix(Self.depth)
    let context = session.record.prompt.suffix(Self.depth - output.count) + output
    drafter.draft(
      from: [DraftHistory(.local, indexes: 0..<1), DraftHistory(.shared, indexes: 1..<2)],
      [end.index, .growing(shared.reader)],
      matches: [end.match, shared.reader.match(context.span)],
      options: DraftOptions(
        policy: .estimate, maxTokens: 256, minProbability: least, tree: true), into: &draft)
    return draft
  }

  private func shares(of drafts: [Draft]) -> [Int] {
    switch choice {
    case .budget(let tokens): return DraftBudget.shares(of: tokens, among: drafts)
    case .even(let tokens):
      return drafts.enumerated().map { place, draft in
        min(draft.count, tokens * (place + 1) / drafts.count - tokens * place / drafts.count)
      }
    case .single, .nothing: return drafts.map(\.count)
    case .byCost(let cost):
      let probabilities = drafts.flatMap(\.probs).sorted(by: >)
      let all = VerifyCost.Batch(sequences: drafts.count, of: drafts.count)
      return DraftBudget.shares(of: cost.count(of: probabilities, all), among: drafts)
    }
  }

  /// Returns the number of accepted tokens.
  private func verify(_ session: inout Session, _ draft: Draft, _ share: Int) -> Int {
    let rest = session.record.output[session.position...]
    let count = Draft.acceptedTokens(
      draft.tokens.span.extracting(first: share), draft.parents.span.extracting(first: share),
      by: rest.span)
    let joined = Array(rest.prefix(count + 1))
    session.local.append(joined.span)
    let leadIn = session.position == 0 ? session.record.prompt.suffix(self.leadIn) : []
    for token in leadIn + joined { shared.extend(&session.tail, by: token) }
    session.position += joined.count
    return count
  }
}
