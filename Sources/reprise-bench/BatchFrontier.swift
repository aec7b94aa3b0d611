import ArgumentParser
import Drafting
import Foundation
import RepriseModel
import SuffixIndex

/// Accepted tokens of a batch whose drafts share a budget, beside the same number of tokens divided evenly
/// and beside one least probability for all.
struct BatchFrontier: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Print accepted tokens a step of a batch, by the way in which its tokens are chosen.",
    discussion: """
      Decodes the records after the first --warm ones, --batch at a time, as a server would whose models \
      write exactly these. Each line of the output is the way, its setting, drafted and accepted tokens a \
      step of one session, in steps of a full batch. The ways: budget, tokens for all drafts of a step; \
      even, the same number divided evenly; single, one least probability.
      """)

  @Option(help: "Records that only become history.") var warm = 0
  @Option(help: "Records that are decoded.") var eval = 320
  @Option(help: "Sessions that are decoded together.") var batch = 64
  @Option(help: "Tokens of the prompt's end that precede each output in the history.")
  var leadIn = LeadIn.standard
  @Argument(help: "JSONL file.") var file: String

  func run() throws {
    let records = try readTrace(file)
    let (known, decoded) = (records.prefix(warm), records.dropFirst(warm).prefix(eval))
    func measure(_ choice: BatchDecoding.Choice, _ name: String) {
      let decoding = BatchDecoding(choice, batch: batch, leadIn: leadIn)
      for record in known { decoding.insert(record) }
      decoding.decode(decoded)
      func mean(_ count: Int) -> String {
        String(format: "%.4f", Double(count) / Double(max(decoding.steps, 1)))
      }
      print([name, mean(decoding.drafted), mean(decoding.accepted)].joined(separator: "\t"))
    }
    for tokens in [64, 128, 256, 512] {
      measure(.budget(tokens), "budget\t\(tokens)")
      measure(.even(tokens), "even\t\(tokens)")
    }
    for probability in [0.8, 0.6, 0.42, 0.3, 0.2, 0.13, 0.08, 0.045, 0.025, 0.013, 0.006] {
      measure(.single(probability), "single\t\(probability)")
    }
  }
}

/// A batch of sessions over one history.
private final class BatchDecoding {
  /// The way in which the tokens of a step are chosen.
  enum Choice {
    case budget(Int)
    case even(Int)
    case single(Double)
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
  private let batch: Int
  private let leadIn: Int
  private let shared = GrowingIndex(depth: depth)
  private var drafter = EstimateDrafter()
  private(set) var steps = 0
  private(set) var drafted = 0
  private(set) var accepted = 0

  init(_ choice: Choice, batch: Int, leadIn: Int) {
    self.choice = choice
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
      let drafts = sessions.map(draft)
      let shares = shares(of: drafts)
      let isFull = sessions.count == batch
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

  private func draft(_ session: Session) -> Draft {
    var draft = Draft()
    let end = session.local.end
    let text = session.record.prompt + session.record.output[..<session.position]
    let context = Array(text.suffix(Self.depth))
    var least = Self.leastProbability
    if case .single(let probability) = choice { least = probability }
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
    case .budget(let tokens): DraftBudget.shares(of: tokens, among: drafts)
    case .even(let tokens):
      drafts.enumerated().map { place, draft in
        min(draft.count, tokens * (place + 1) / drafts.count - tokens * place / drafts.count)
      }
    case .single: drafts.map(\.count)
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
