import ArgumentParser
import Drafting
import Foundation
import RepriseModel
import SuffixIndex

/// Accepted against drafted tokens for many settings of a policy, in one pass over a trace.
struct Frontier: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Print accepted and drafted tokens a step for a sweep of settings.",
    discussion: """
      Decodes the records after the first --warm ones as a model would that writes exactly these. \
      Each line of the output is policy, shape, setting, drafted tokens a step, accepted tokens a \
      step. tools/frontier runs it over all traces.
      """)

  @Option(help: "Records that only become history.") var warm = 0
  @Option(help: "Records that are decoded.") var eval = 60
  @Option(help: "Tokens of the prompt's end that precede each output in the history.")
  var leadIn = 8
  @Option(help: "The policy: suffixdecoding or estimate.") var policy = DraftPolicy.estimate
  @Argument(help: "JSONL file.") var file: String

  func run() throws {
    let records = try readTrace(file)
    let sweep = FrontierSweep(policy, leadIn: leadIn)
    for record in records.prefix(warm) { sweep.insert(record) }
    for record in records.dropFirst(warm).prefix(eval) { sweep.decode(record) }
    for line in sweep.lines { print(line) }
  }
}

extension DraftPolicy: ExpressibleByArgument {}

/// One setting, and what came of it.
private struct SweptSetting {
  let options: DraftOptions
  /// The place in the output at which its next step begins.
  var due = 0
  var steps = 0
  var drafted = 0
  var accepted = 0

  mutating func step(_ draft: Draft, drafted count: Int, by rest: ArraySlice<Int32>) {
    let accepted = Draft.acceptedTokens(
      draft.tokens.span.extracting(first: count), draft.parents.span.extracting(first: count),
      by: rest.span)
    steps += 1
    drafted += count
    self.accepted += accepted
    due += accepted + 1
  }

  var line: String {
    let shape = options.tree ? "tree" : "path"
    let setting =
      options.policy == .estimate
      ? "\(options.minProbability)"
      : "factor \(options.maxFactor) probability \(options.minProbability)"
    func mean(_ count: Int) -> String {
      String(format: "%.4f", Double(count) / Double(max(steps, 1)))
    }
    return [options.policy.rawValue, shape, setting, mean(drafted), mean(accepted)]
      .joined(separator: "\t")
  }
}

private final class FrontierSweep {
  private static let depth = 64
  private static let tokensMax = 64
  private static let probabilities = [
    0.97, 0.94, 0.9, 0.85, 0.8, 0.75, 0.7, 0.65, 0.6, 0.5, 0.42, 0.35, 0.3, 0.25, 0.2, 0.16, 0.13,
    0.1, 0.08, 0.06, 0.045, 0.033, 0.025, 0.018, 0.013, 0.009, 0.006, 0.004,
  ]

  private let leadIn: Int
  private let shared = GrowingIndex(depth: depth)
  private var paths: [SweptSetting]
  private var trees: [SweptSetting]
  private let policy: DraftPolicy
  private var drafter = Drafter()
  private var estimator = EstimateDrafter()
  private var draft = Draft()
  private var other = Draft()

  init(_ policy: DraftPolicy, leadIn: Int) {
    self.policy = policy
    self.leadIn = leadIn
    func settings(tree: Bool) -> [SweptSetting] {
      switch policy {
      case .estimate:
        // From the least on: nodes that reach one of them are the draft for it.
        Self.probabilities.reversed().map {
          SweptSetting(
            options: DraftOptions(
              policy: .estimate, maxTokens: Self.tokensMax, minProbability: $0, tree: tree))
        }
      case .suffixDecoding:
        [0.25, 0.5, 1, 1.5, 2, 4].flatMap { factor in
          [0.02, 0.05, 0.1, 0.2, 0.3, 0.5].map { probability in
            SweptSetting(
              options: DraftOptions(
                maxTokens: Self.tokensMax, maxFactor: factor, minProbability: probability,
                tree: tree))
          }
        }
      }
    }
    paths = settings(tree: false)
    trees = settings(tree: true)
  }

  var lines: [String] { (paths + trees).map(\.line) }

  /// Begins a sequence with the end of its prompt.
  private func begin(_ record: Record) -> GrowingIndex.Tail {
    var tail = GrowingIndex.Tail()
    for token in record.prompt.suffix(leadIn) { shared.extend(&tail, by: token) }
    return tail
  }

  func insert(_ record: Record) {
    var tail = begin(record)
    shared.extend(&tail, by: record.output.span)
  }

  func decode(_ record: Record) {
    if record.output.isEmpty { return }
    let local = LocalHistory(depth: Self.depth)
    local.append(record.prompt.span)
    var tail = begin(record)
    var context = record.prompt
    var match = shared.reader.match(context.span)
    for place in paths.indices { paths[place].due = 0 }
    for place in trees.indices { trees[place].due = 0 }
    for position in record.output.indices {
      let rest = record.output[position...]
      step(&paths, at: position, rest, local, match)
      step(&trees, at: position, rest, local, match)
      let token = record.output[position]
      shared.reader.refresh(&match, context: context.span)
      shared.extend(&tail, by: token)
      shared.reader.advance(&match, by: token)
      local.append([token].span)
      context.append(token)
    }
  }

  private func step(
    _ settings: inout [SweptSetting], at position: Int, _ rest: ArraySlice<Int32>,
    _ local: LocalHistory, _ match: MatchCursor
  ) {
    var isDrafted = false
    for place in settings.indices where settings[place].due == position {
      let options = settings[place].options
      switch policy {
      case .estimate:
        if !isDrafted {
          let end = local.end
          estimator.draft(
            from: [DraftHistory(.local, indexes: 0..<1), DraftHistory(.shared, indexes: 1..<2)],
            [end.index, .growing(shared.reader)], matches: [end.match, match], options: options,
            into: &draft)
          isDrafted = true
        }
        let least = Float(options.minProbability)
        settings[place].step(
          draft, drafted: draft.probs.firstIndex { $0 < least } ?? draft.count, by: rest)
      case .suffixDecoding:
        local.draft(options, using: &drafter, into: &draft)
        drafter.draft(
          from: [.growing(shared.reader)], matches: [match], options: options,
          betterThan: draft.score, into: &other)
        if other.score > draft.score { swap(&draft, &other) }
        settings[place].step(draft, drafted: draft.count, by: rest)
      }
    }
  }
}
