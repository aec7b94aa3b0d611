import Concurrency
import Foundation
import RepriseModel
import Synchronization
import TestSupport

/// The acts of one kind of client. Each instance is one worker's, and is used by its thread alone while
/// that runs.
protocol Behaviour: AnyObject {
  var base: WorkerBase { get }
  /// The number of drafts in a thousand that are compared with the oracle's, if the history is known.
  static var exactPerMille: Int { get }
  /// Milliseconds between two actions.
  var pauseMillis: ClosedRange<Int> { get }
  /// The contents at rest of a corpus that this client alone writes to; nil where there is none.
  var held: OwnCorpus? { get }

  func prepare() throws
  func act() throws
  /// Leaves the state that the final checks expect.
  func finish() throws
}

/// The service, the number, the random numbers and the counts of a worker.
final class WorkerBase {
  let site: Site
  let number: Int
  let tally = Tally()
  var random: SeededGenerator

  init(_ site: Site, _ role: Role, _ number: Int) {
    self.site = site
    self.number = number
    random = SeededGenerator(
      seed: site.seed &* 1_000_003 &+ UInt64(Role.allCases.firstIndex(of: role)!) << 32
        &+ UInt64(number))
    _ = random.next()
  }
}

/// One client, with a thread of its own; between two actions it waits, as a worker waits for its
/// model.
final class Worker: Sendable {
  let name: String
  let tally: Tally
  private let site: Site
  /// nil once the worker's thread uses it.
  private let behaviour: Locked<(any Behaviour)?>
  private let left = Locked<OwnCorpus?>(nil)
  private let failed = Atomic(false)

  init(_ behaviour: sending any Behaviour) {
    name = "\(type(of: behaviour)) \(behaviour.number)"
    (tally, site) = (behaviour.tally, behaviour.site)
    self.behaviour = Locked(behaviour)
  }

  /// True if it had to abandon its work.
  var hasFailed: Bool { failed.load(ordering: .relaxed) }

  /// The contents at rest of a corpus that this client alone wrote to, once it has ended; nil where
  /// there is none.
  var held: OwnCorpus? { left.withLock { $0 } }

  /// Acts until the journal says that all is to end.
  func run() {
    let taken = behaviour.withLock { behaviour in
      let taken = behaviour
      behaviour = nil
      return taken
    }
    guard let behaviour = taken else { preconditionFailure("\(name) runs already") }
    do {
      // Workers start at different times.
      pause(behaviour.roll(0...behaviour.pauseMillis.upperBound * 1000))
      try behaviour.prepare()
      while !site.journal.isStopping {
        try behaviour.act()
        let millis = behaviour.pauseMillis
        pause(behaviour.roll(millis.lowerBound * 1000...millis.upperBound * 1000))
      }
      try behaviour.finish()
    } catch {
      failed.store(true, ordering: .relaxed)
      site.journal.fail("\(name): \(error)")
    }
    let held = behaviour.held
    left.withLock { $0 = held }
  }

  private func pause(_ micros: Int) {
    // In pieces, so that the end of the run is noticed soon.
    var left = Int(Double(micros) / site.rate)
    while left > 0 && !site.journal.isStopping {
      usleep(UInt32(min(left, 100_000)))
      left -= 100_000
    }
  }
}

extension Behaviour {
  static var exactPerMille: Int { 80 }
  var pauseMillis: ClosedRange<Int> { 20...50 }
  var held: OwnCorpus? { nil }
  func prepare() throws {}
  func finish() throws {}

  var site: Site { base.site }
  var number: Int { base.number }
  var tally: Tally { base.tally }
  var random: SeededGenerator {
    get { base.random }
    set { base.random = newValue }
  }

  func chance(_ perMille: Int) -> Bool { roll(0...999) < perMille }
  func roll(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &base.random) }

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

extension Behaviour {
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
    if !expected.isEqual(to: draft) {
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
      NaiveDrafter(options).draft(from: history(), context: context)
    }
    try compare(draft, expected, options, after: context, plan)
  }
}
