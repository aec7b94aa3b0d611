import ArgumentParser
import Foundation
import RepriseModel
import WireProtocol

/// The options of a draft, shared by all commands that draft.
struct DraftFlags: ParsableArguments {
  private static let defaults = DraftOptions()

  @Flag(help: "Draft a tree instead of a path.")
  var tree = false

  @Option(help: "The rule by which tokens are drafted: suffixdecoding or estimate.")
  var policy = Self.defaults.policy

  @Option(help: "The most tokens in a draft.")
  var maxTokens = Self.defaults.maxTokens

  @Option(help: "Tokens of draft for each token of match. Only for suffixdecoding.")
  var maxFactor = Self.defaults.maxFactor

  @Option(help: "Tokens of draft in addition; may be negative. Only for suffixdecoding.")
  var maxOffset = Self.defaults.maxOffset

  @Option(help: "The lowest probability of a drafted token, 0 to 1.")
  var minProbability = Self.defaults.minProbability

  @Option(help: "The least length of a match that is drafted from, in tokens.")
  var minMatch = Self.defaults.minMatch

  @Option(help: "Bound of drafted token ids.")
  var vocabulary = Int(Self.defaults.vocabulary)

  func validate() throws {
    let tokensMax = Limits().draftTokensMax
    if !(0...tokensMax).contains(maxTokens) {
      throw ValidationError("--max-tokens is \(maxTokens), expected 0 to \(tokensMax)")
    }
    if !DraftOptions.maxFactorRange.contains(maxFactor) {
      throw ValidationError("--max-factor is \(maxFactor), expected 0 to 1000000")
    }
    if !DraftOptions.maxOffsetRange.contains(maxOffset) {
      throw ValidationError("--max-offset is \(maxOffset), expected -1000000 to 1000000")
    }
    if !Vocabulary.range.contains(vocabulary) {
      throw ValidationError(
        "--vocabulary is \(vocabulary), expected 1 to \(Vocabulary.range.upperBound)")
    }
    if !DraftOptions.minProbabilityRange.contains(minProbability) {
      throw ValidationError("--min-probability is \(minProbability), expected 0 to 1")
    }
    if !DraftOptions.minMatchRange.contains(minMatch) {
      throw ValidationError(
        "--min-match is \(minMatch), expected 1 to \(DraftOptions.minMatchRange.upperBound)")
    }
  }

  var options: DraftOptions {
    DraftOptions(
      policy: policy, maxTokens: maxTokens, maxFactor: maxFactor, maxOffset: maxOffset,
      minProbability: minProbability, minMatch: minMatch, tree: tree, vocabulary: Int32(vocabulary))
  }
}

extension DraftPolicy: ExpressibleByArgument {}

struct SpeculateCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "speculate", abstract: "Show the history's proposal after a context.",
    discussion: """
      EXAMPLES
        reprise speculate --corpus demo --socket ./reprise.sock --tree 7 42
        reprise speculate --corpus demo --store ./history --json 101 7 7 42
      """)

  @OptionGroup var history: HistoryOptions
  @Option(help: "Corpus to draft from.", transform: corpusName) var corpus: CorpusName
  @OptionGroup var draft: DraftFlags
  @Flag(help: "Print the draft as JSON, as on the wire.") var json = false
  @Option(help: "File of lines of token id, tab, text: shows the text beside each id.")
  var words: String?
  @Argument(help: "The context: token ids, the newest last.") var context: [Int32]

  func validate() throws {
    if let bad = context.first(where: { $0 < 0 || $0 == Int32.max }) {
      throw ValidationError("\(bad) is not a token id, expected 0 to \(Int32.max - 1)")
    }
  }

  func run() async throws {
    let words = try words.map(readWords) ?? [:]
    let (context, corpus, options) = (context, corpus, draft.options)
    let draft = try await withHistory(history) {
      try await $0.speculate(context, corpus: corpus, options)
    }
    if json {
      printJSON { draft.write(to: &$0) }
    } else {
      print(drawing(of: draft, after: context, words))
    }
  }
}

/// Reads texts of tokens; other lines are ignored.
private func readWords(_ path: String) throws -> [Int32: String] {
  guard let data = FileManager.default.contents(atPath: path) else {
    throw ValidationError("cannot read \(path), expected lines of token id, tab, text")
  }
  var words: [Int32: String] = [:]
  for line in String(decoding: data, as: UTF8.self).split(separator: "\n") {
    let parts = line.split(separator: "\t", maxSplits: 1)
    if parts.count == 2, let token = Int32(parts[0]) {
      words[token] = String(parts[1])
    }
  }
  return words
}

/// A draft as a drawing: each token with its probability and its count.
func drawing(of draft: Draft, after context: [Int32], _ words: [Int32: String] = [:]) -> String {
  func label(_ token: Int32) -> String { words[token].map { "\($0) ·\(token)" } ?? "\(token)" }

  if draft.isEmpty { return "nothing to propose: no token has followed this context often enough" }
  let matched = context.suffix(draft.matchLength).map { words[$0] ?? String($0) }
    .joined(separator: " ")
  var lines = [
    "matched \(draft.matchLength) of \(context.count) tokens in the \(draft.source.rawValue) "
      + "history, \(draft.count) drafted, score \(fixed(draft.score, 2))",
    "", "… \(matched)",
  ]
  var children: [Int32: [Int]] = [:]
  for position in 0..<draft.count {
    children[draft.parents[position], default: []].append(position)
  }
  // Iterative, because a path may be a thousand tokens long. Last in, first out.
  var open: [(position: Int, prefix: String, isLast: Bool)] = []
  func push(_ parent: Int32, _ prefix: String) {
    let list = children[parent] ?? []
    for (rank, child) in list.enumerated().reversed() {
      open.append((child, prefix, rank == list.count - 1))
    }
  }
  push(-1, "")
  while let (position, prefix, isLast) = open.popLast() {
    // A chain without branches goes straight down.
    let isOnly = (children[draft.parents[position]] ?? []).count == 1
    let mark = isOnly ? "╰ " : isLast ? "└─ " : "├─ "
    let text = "\(prefix)\(mark)\(label(draft.tokens[position]))"
    let padding = String(repeating: " ", count: max(1, 52 - text.count))
    let bar = String(repeating: "▪", count: Int((draft.probs[position] * 10).rounded()))
    lines.append(
      "\(text)\(padding)\(fixed(Double(draft.probs[position]), 3))  "
        + "×\(draft.counts[position])  \(bar)")
    push(Int32(position), isOnly ? prefix : prefix + (isLast ? "   " : "│  "))
  }
  return lines.joined(separator: "\n")
}
