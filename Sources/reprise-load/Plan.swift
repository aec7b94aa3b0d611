import RepriseModel
import TestSupport
import WireProtocol

/// The kinds of clients, and the number of each.
enum Role: String, CaseIterable {
  /// Decode over corpora of their own, so that each draft is known.
  case decoders
  /// Decode over corpora that many workers share.
  case sharers
  case inserters
  case speculators
  case prompters
  case operators
  case slow
  case broken
  case storms

  /// The number of workers of this kind among a hundred.
  private var share: Int {
    switch self {
    case .decoders: 25
    case .sharers: 27
    case .inserters: 14
    case .speculators: 12
    case .prompters: 4
    case .operators: 4
    case .slow: 5
    case .broken: 5
    case .storms: 4
    }
  }

  /// Every kind occurs at least once, also with few workers.
  static func counts(workers: Int) -> [Role: Int] {
    var counts: [Role: Int] = [:]
    for role in allCases { counts[role] = max(1, workers * role.share / 100) }
    counts[.sharers, default: 1] += max(0, workers - counts.values.reduce(0, +))
    return counts
  }
}

/// Holders of access tokens, and their corpora and rights.
enum Tenant: String, CaseIterable {
  case decoders, sharers, inserters, operators, reader, auditor

  var corpora: String {
    switch self {
    case .decoders: "own-*"
    case .sharers: "shared-*,fixed"
    case .inserters: "kept-*,ledger,ledger-late"
    case .operators: "op-*"
    case .reader: "fixed,shared-*"
    case .auditor: "*"
    }
  }

  var rights: String {
    switch self {
    case .decoders, .sharers, .inserters: "draft,insert"
    case .operators, .auditor: "draft,insert,admin"
    case .reader: "draft"
    }
  }
}

/// The bounds of the corpora, and the time limits of the service.
enum Bounds {
  static let own = KeepingRule(tokens: 12_000)
  static let kept = KeepingRule(tokens: 40_000, sequences: 600)
  static let shared = KeepingRule(tokens: 150_000)
  static let sharedCorpora = 3
  static let operated = KeepingRule(tokens: 20_000)
  /// Small, so that segments are sealed and merged all the time.
  static let sealTokens = 8192
  static let mapBytes = 1 << 30
  /// Seconds for a line that has begun, and for reading answers.
  static let patienceSeconds = 10
  static let limits = [
    "corpora": 512, "line_seconds": patienceSeconds, "answer_seconds": patienceSeconds,
    "line_bytes": 2 << 20, "prompt_tokens": 120_000, "connections": 2048, "sessions": 8192,
  ]
}

/// The settings of a corpus, and the language of its texts.
struct CorpusPlan: Sendable {
  let name: CorpusName
  let depth: Int
  let rule: KeepingRule
  let language: Language

  private static let sequencesPerCall = 8

  /// Calls that fill it to about its bound, so that it is in its steady state from the beginning:
  /// the oldest sequences leave, and memory has a typical fill level.
  func filling(using random: inout SeededGenerator) -> [[[Int32]]] {
    guard let bound = rule.tokens else { return [] }
    var left = Int.random(in: (bound * 3 / 4)...(bound * 5 / 4), using: &random)
    var calls: [[[Int32]]] = []
    while left > 0 {
      let texts = (0..<Self.sequencesPerCall).map { _ in
        language.text(count: Int.random(in: 20...200, using: &random), using: &random)
      }
      left -= texts.reduce(0) { $0 + $1.count }
      calls.append(texts)
    }
    return calls
  }
}

extension KeepingRule {
  var retention: Retention { Retention(tokens: tokens, sequences: sequences) }
}
