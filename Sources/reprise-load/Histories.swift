import Concurrency
import Foundation
import RepriseModel
import TestSupport

/// The expected content of a corpus that one worker alone writes to, computed by the rule of
/// retention.
struct OwnHistory {
  struct Sequence {
    var id: String?
    var tokens: [Int32]
  }

  let rule: KeepingRule
  /// Numbers of the sequences, oldest first.
  private(set) var kept: [Int32] = []
  private var known: [Int32: Sequence] = [:]
  private var nextNumber: Int32 = 1

  init(_ rule: KeepingRule) { self.rule = rule }

  func size(_ number: Int32) -> Int { known[number]?.tokens.count ?? 0 }
  subscript(number: Int32) -> Sequence? { known[number] }
  var sequences: [Sequence] { kept.compactMap { known[$0] } }

  /// Registers a sequence that is not known yet.
  mutating func number(_ sequence: Sequence) -> Int32 {
    known[nextNumber] = sequence
    nextNumber += 1
    return nextNumber - 1
  }

  mutating func name(_ number: Int32, _ id: String) { known[number]?.id = id }

  /// Applies a call. Returns those of its sequences that were new.
  @discardableResult
  mutating func insert(_ numbers: [Int32]) -> [Int32] {
    let rest = rule.makingRoom(in: kept, for: numbers, size).last ?? kept
    kept = rule.keeping(kept, adding: numbers, size)
    return Array(kept.dropFirst(rest.count))
  }

  /// Applies a call of sequences without ids.
  mutating func insert(_ texts: [[Int32]]) {
    insert(texts.map { number(Sequence(id: nil, tokens: $0)) })
  }

  mutating func remove(_ numbers: [Int32]) { kept.removeAll { numbers.contains($0) } }

  /// Removes texts that have left, except those that are still wanted.
  mutating func prune(keeping wanted: some Swift.Sequence<Int32>) {
    if known.count < 2 * kept.count + 400 { return }
    let stay = Set(kept).union(wanted)
    known = known.filter { stay.contains($0.key) }
  }
}

/// The name of a corpus that one worker alone writes to, and the sequences that it must hold at rest.
struct OwnCorpus: Sendable {
  let name: CorpusName
  let sequences: [OwnHistory.Sequence]

  init(_ name: CorpusName, _ history: OwnHistory) {
    self.name = name
    sequences = history.sequences
  }
}

/// The answers to many workers about one corpus: the acknowledged sequences with their order
/// numbers, and sequences that may have been inserted without an answer.
final class SharedLedger: Sendable {
  struct Acknowledged {
    /// The order number of this sequence, also if its call had several.
    var order: UInt64
    var id: String?
    var tokens: [Int32]
  }

  private struct State {
    var acknowledged: [Acknowledged] = []
    var acknowledgedTokens = 0
    var possible: [[Int32]] = []
  }

  let plan: CorpusPlan
  private let state = Locked(State())

  init(_ plan: CorpusPlan) { self.plan = plan }

  var name: CorpusName { plan.name }

  func acknowledge(_ sequence: Acknowledged) {
    state.withLock { state in
      state.acknowledged.append(sequence)
      state.acknowledgedTokens += sequence.tokens.count
      // Sequences that have certainly left need not be remembered. Answers come roughly in the
      // order of writing, so three times the bound is more than enough.
      guard let bound = plan.rule.tokens, state.acknowledgedTokens > 6 * bound else { return }
      state.acknowledged.sort { $0.order < $1.order }
      var leaving = 0
      while state.acknowledgedTokens > 3 * bound {
        state.acknowledgedTokens -= state.acknowledged[leaving].tokens.count
        leaving += 1
      }
      state.acknowledged.removeFirst(leaving)
    }
  }

  /// Notes a sequence from a client that did not wait for the answer.
  func mayHold(_ tokens: [Int32]) { state.withLock { $0.possible.append(tokens) } }

  /// The acknowledged sequences by order number.
  var acknowledged: [Acknowledged] {
    state.withLock { $0.acknowledged.sorted { $0.order < $1.order } }
  }

  var possible: Set<[Int32]> { state.withLock { Set($0.possible) } }
}
