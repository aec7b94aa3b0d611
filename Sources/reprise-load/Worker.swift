import Foundation
import Oracle
import RepriseModel
import ToolSupport
import WireProtocol

/// One client, with a thread of its own. Subclasses define its chat turns; between them it waits, as a
/// worker waits for its model.
class Worker: @unchecked Sendable {
  // @unchecked Sendable: used by its own thread while that runs, and by the tool's thread before
  // and after; the tally guards itself.
  let site: Site
  let number: Int
  let tally = Tally()
  var random: SeededGenerator
  /// True if it had to abandon its work.
  private(set) var hasFailed = false

  /// The number of drafts in a thousand that are compared with the oracle's, if the history is
  /// known.
  class var exactPerMille: Int { 80 }

  init(_ site: Site, _ role: Role, _ number: Int) {
    self.site = site
    self.number = number
    random = SeededGenerator(
      seed: site.seed &* 1_000_003 &+ UInt64(Role.allCases.firstIndex(of: role)!) << 32
        &+ UInt64(number))
    _ = random.next()
  }

  var name: String { "\(type(of: self)) \(number)" }
  /// Milliseconds between turns.
  var pauseMillis: ClosedRange<Int> { 20...50 }

  func prepare() throws {}
  func turn() throws {}
  /// Leaves the state that the final checks expect.
  func finish() throws {}

  final func run() {
    do {
      // Workers start at different times.
      pause(0...pauseMillis.upperBound)
      try prepare()
      while !site.journal.isStopping {
        try turn()
        pause(pauseMillis)
      }
      try finish()
    } catch {
      hasFailed = true
      site.journal.fail("\(name): \(error)")
    }
  }

  private func pause(_ millis: ClosedRange<Int>) {
    let micros = Double(Int.random(in: millis, using: &random) * 1000) / site.rate
    // In pieces, so that the end of the run is noticed soon.
    var left = Int(micros)
    while left > 0 && !site.journal.isStopping {
      usleep(UInt32(min(left, 100_000)))
      left -= 100_000
    }
  }

  func chance(_ perMille: Int) -> Bool { Int.random(in: 0..<1000, using: &random) < perMille }
  func roll(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &random) }

  func isSampled() -> Bool { chance(Self.exactPerMille) }

  /// Runs the oracle, and counts its time.
  func asking<Result>(_ oracle: () -> Result) -> Result {
    let start = threadNanoseconds()
    let result = oracle()
    let nanoseconds = threadNanoseconds() - start
    tally.note { $0.oracleNanoseconds += nanoseconds }
    return result
  }
}

// MARK: Drafts

extension Worker {
  /// Checks that a draft is valid.
  func check(
    _ draft: Draft, _ options: DraftOptions, after context: [Int32], _ plan: CorpusPlan
  ) throws {
    if let fault = DraftJudge.fault(draft, options, after: context, plan) {
      throw DraftJudge.error(fault, draft, options, after: context, plan)
    }
    tally.note { $0.draftsStructural += 1 }
  }

  /// Compares a draft with the oracle's in every field.
  func compare(
    _ draft: Draft, _ expected: NaiveDraft, _ options: DraftOptions, after context: [Int32],
    _ plan: CorpusPlan
  ) throws {
    if !DraftJudge.equal(draft, expected) {
      throw DraftJudge.error(
        "not the oracle's draft, which is \(expected)", draft, options, after: context, plan)
    }
    tally.note { $0.draftsExact += 1 }
  }

  /// Checks that a draft from a known history is valid, and compares a sample with the oracle's.
  func check(
    _ draft: Draft, _ options: DraftOptions, after context: [Int32], _ plan: CorpusPlan,
    of history: () -> ScannedHistory
  ) throws {
    try check(draft, options, after: context, plan)
    if draft.source != .shared {
      throw DraftJudge.error(
        "a session's own text, and no session", draft, options, after: context, plan)
    }
    guard isSampled() else { return }
    let expected = asking {
      DraftJudge.drafter(options).draft(from: history(), context: context)
    }
    try compare(draft, expected, options, after: context, plan)
  }
}
