import Foundation
import RepriseModel
import TestSupport
import ToolSupport
import WireProtocol

/// The checks after all workers have ended: first of the running service, then, when the service
/// has ended, of its store.
struct Aftermath {
  let site: Site
  let workers: [Worker]
  /// The sums of all workers' counts.
  let counts: Tally.Counts
  let tally: Tally

  private struct Asked {
    let corpus: SharedLedger
    let context: [Int32]
    let options: DraftOptions
    let draft: Draft
  }

  private static let draftsPerCorpus = 200
  /// The longest wait, in seconds, until no session is open. Storms leave sessions with leases of
  /// three seconds.
  private static let restSecondsMax = 30

  /// Queries the idle service, ends it and compares.
  func run() throws {
    var asked: [Asked] = []
    if !site.hasEnded {
      do {
        let connection = try site.connect(.auditor, tally)
        for ledger in site.shared {
          try awaitRest(ledger, connection)
          asked += try ask(ledger, connection)
        }
        try compareMetrics(connection)
        try findAgain(connection)
      } catch {
        site.journal.fail("at the end: \(error)")
      }
      if let failure = site.stop() { site.journal.fail(failure) }
    }
    let found = try Inspection(store: site.store)
    for damage in found.damage { site.journal.fail(damage) }
    for ledger in site.shared { compare(ledger, found.corpora[ledger.name.text] ?? []) }
    for ledger in [site.ledger, site.lateLedger] {
      compareWhole(ledger, found.corpora[ledger.name.text] ?? [])
    }
    for worker in workers where !worker.hasFailed { compareOwn(worker, found) }
    for ledger in site.shared {
      try compareDrafts(
        asked.filter { $0.corpus === ledger }, found.corpora[ledger.name.text] ?? [], ledger)
    }
  }

  /// Waits until no session is open over a corpus.
  private func awaitRest(_ ledger: SharedLedger, _ connection: Connection) throws {
    let start = nanoseconds()
    while true {
      let stats: CorpusStatistics = try connection.call(.corpusStats(corpus: ledger.name))
      if stats.sessions == 0 && stats.openTokens == 0 { return }
      if nanoseconds() - start > Self.restSecondsMax * 1_000_000_000 {
        throw ToolError("\(stats.sessions) sessions over \(ledger.name) do not end")
      }
      usleep(50_000)
    }
  }

  private func ask(_ ledger: SharedLedger, _ connection: Connection) throws -> [Asked] {
    var random = SeededGenerator(seed: site.seed)
    let known = ledger.acknowledged
    return try (0..<Self.draftsPerCorpus).map { _ in
      let text =
        known.randomElement(using: &random)?.tokens
        ?? ledger.plan.language.text(
          count: 9, using: &random)
      let end = Int.random(in: 1...text.count, using: &random)
      let context = Array(text[max(0, end - 80)..<end])
      let options = DraftOptions.random(using: &random)
      let draft: Draft = try connection.call(
        .speculate(Speculate(corpus: ledger.name, context: context, options: options)))
      return Asked(corpus: ledger, context: context, options: options, draft: draft)
    }
  }

  /// Compares the service's counts with the answers received.
  private func compareMetrics(_ connection: Connection) throws {
    let metrics: ServerMetrics = try connection.call(.serverMetrics)
    let lines = metrics.text.split(separator: "\n")
    for method in Method.allCases where counts.requests[method.rawValue] > 0 {
      let beginning = "reprise_request_duration_seconds_count{method=\"\(method.name)\"} "
      let line = lines.first { $0.hasPrefix(beginning) }
      let told = line.flatMap { Double($0.dropFirst(beginning.count)) } ?? 0
      if told < Double(counts.requests[method.rawValue]) {
        site.journal.fail(
          "metrics tell of \(told) \(method.name), answered were "
            + "\(counts.requests[method.rawValue])")
      }
    }
  }

  /// Sends all acknowledged sequences again: each must be known.
  private func findAgain(_ connection: Connection) throws {
    for ledger in [site.ledger, site.lateLedger] {
      let all = ledger.acknowledged
      for start in stride(from: 0, to: all.count, by: 500) {
        let some = all[start..<min(start + 500, all.count)]
        let answer: InsertReceipt = try connection.call(
          .sequenceInsert(
            SequenceInsert(
              corpus: ledger.name, sequences: some.map { .init(id: $0.id, tokens: $0.tokens) })))
        if answer.inserted != 0 || answer.duplicates != some.count {
          site.journal.fail("\(ledger.name): of \(some.count) acknowledged sequences: \(answer)")
        }
        tally.note { $0.sequencesFoundAgain += answer.duplicates }
      }
    }
  }

  // MARK: In the store

  /// Expects all acknowledged sequences, in the order of the answers, and no others.
  private func compareWhole(_ ledger: SharedLedger, _ found: [KeptSequence]) {
    let known = ledger.acknowledged
    if known.count != found.count {
      site.journal.fail(
        "\(ledger.name) holds \(found.count) sequences, acknowledged were \(known.count)")
    }
    let byOrder = Dictionary(found.map { ($0.order, $0) }) { one, _ in one }
    for sequence in known {
      let entry = byOrder[sequence.order]
      if entry?.text != sequence.tokens || entry?.id != sequence.id {
        site.journal.fail("\(ledger.name): sequence \(sequence.order) is lost or another")
      }
    }
  }

  /// The kept history is the newest: from the oldest kept sequence on, all acknowledged ones must
  /// be there, and none that no client sent.
  private func compare(_ ledger: SharedLedger, _ found: [KeptSequence]) {
    let known = ledger.acknowledged
    let possible = ledger.possible
    let byOrder = Dictionary(uniqueKeysWithValues: known.map { ($0.order, $0) })
    if byOrder.count != known.count {
      site.journal.fail("\(ledger.name): one order number for two sequences")
    }
    let orders = Set(found.map(\.order))
    let oldest = found.first?.order ?? 0
    for sequence in known where sequence.order >= oldest && !orders.contains(sequence.order) {
      site.journal.fail("\(ledger.name): sequence \(sequence.order) was acknowledged and is lost")
    }
    var matched = 0
    for entry in found {
      if let sequence = byOrder[entry.order] {
        matched += 1
        if sequence.tokens != entry.text {
          site.journal.fail("\(ledger.name): sequence \(entry.order) has other tokens than sent")
        }
      } else if !possible.contains(entry.text) {
        site.journal.fail("\(ledger.name): no client sent sequence \(entry.order)")
      }
    }
    tally.note { $0.sequencesFoundAgain += matched }
    // Everything is there while the bound was never passed; after that, most of the bound.
    let tokens = found.reduce(0) { $0 + $1.text.count }
    guard let bound = ledger.plan.rule.tokens else { return }
    if tokens > bound + bound / 8 {
      site.journal.fail("\(ledger.name) holds \(tokens) tokens, bound are \(bound)")
    }
    if let first = known.first, first.order < oldest, tokens < bound - bound / 8 {
      site.journal.fail("\(ledger.name) holds \(tokens) tokens, and some have left all the same")
    }
  }

  /// Expects exactly the history that the rule keeps, in its order.
  private func compareOwn(_ worker: Worker, _ found: Inspection) {
    guard let held = worker.held else { return }
    let (name, expected) = (held.name, held.sequences)
    let entries = found.corpora[name.text] ?? []
    let isEqual =
      entries.count == expected.count
      && zip(entries, expected).allSatisfy { $0.text == $1.tokens && $0.id == $1.id }
    if !isEqual {
      site.journal.fail(
        "\(name) holds \(entries.count) sequences, expected were \(expected.count), or others")
    }
    tally.note { $0.sequencesFoundAgain += expected.count }
  }

  private func compareDrafts(
    _ asked: [Asked], _ found: [KeptSequence], _ ledger: SharedLedger
  ) throws {
    var history = ScannedHistory(depth: ledger.plan.depth, sequences: found.map(\.text))
    for (place, question) in asked.enumerated() {
      if place % 20 == 0 {
        history = ScannedHistory(depth: ledger.plan.depth, sequences: found.map(\.text))
      }
      let expected = NaiveDrafter(question.options).draft(
        from: history, context: question.context)
      if !expected.isEqual(to: question.draft) {
        site.journal.fail(
          "\(ledger.name) at rest, \(question.options) after \(question.context): "
            + "\(question.draft), the oracle says \(expected)")
      }
      tally.note { $0.draftsExact += 1 }
    }
  }
}
