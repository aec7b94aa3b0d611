import Foundation
import RepriseModel
import TestSupport
import WireProtocol

/// Works on a corpus of its own: snapshots, restores, forgets, merges and drops, and reads metrics.
/// After each action it knows the content exactly.
final class Operator: Behaviour {
  let base: WorkerBase
  let plan: CorpusPlan
  private var corpus: CorpusName { plan.name }
  private var copy: CorpusName { "\(corpus)-copy" }
  private var history: OwnHistory
  private var connection: Connection!
  private var auditor: Connection!
  private var actions = 0
  /// The number in the name, which changes after each restore.
  private var named = 0

  init(_ site: Site, _ number: Int) {
    plan = site.plan(ofOperated: number)
    history = OwnHistory(plan.rule)
    base = WorkerBase(site, .operators, number)
  }

  static var exactPerMille: Int { 300 }
  var pauseMillis: ClosedRange<Int> { 100...400 }

  var held: OwnCorpus? { OwnCorpus(plan.name, history) }

  func prepare() throws {
    connection = try site.connect(.operators, tally)
    auditor = try site.connect(.auditor, tally)
    try site.create(plan, connection)
  }

  func finish() throws { (connection, auditor) = (nil, nil) }

  func act() throws {
    for _ in 0..<4 { try insert() }
    try refusals()
    let snapshot = try takeSnapshot()
    let before = history
    try copyAndCompare(snapshot)
    try forget(snapshot, before)
    if chance(300) { try restore(snapshot, before) }
    let deleted: SnapshotDeleted = try connection.call(.snapshotDelete(snapshot: snapshot.name))
    if !deleted.deleted { throw ToolError("\(snapshot.name) was not deleted") }
    try connection.refusal(
      of: .snapshotVerify(.named(snapshot.name)), .snapshotNotFound)
    let dropped: CorpusDropped = try connection.call(.corpusDrop(CorpusDrop(corpus: copy)))
    if !dropped.dropped { throw ToolError("\(copy) was not dropped") }
    try connection.refusal(of: .corpusStats(corpus: copy), .corpusNotFound)
    try lookAtMetrics()
  }

  private func insert() throws {
    var numbers: [Int32] = []
    for _ in 0..<roll(1...10) {
      named += 1
      numbers.append(
        history.number(
          OwnHistory.Sequence(
            id: "\(corpus)/\(named)",
            tokens: plan.language.text(count: roll(5...80), using: &random))))
    }
    let call = numbers.map { number in
      NewSequence(id: history[number]!.id, tokens: history[number]!.tokens)
    }
    let answer: InsertReceipt = try connection.call(
      .sequenceInsert(SequenceInsert(corpus: corpus, sequences: call)))
    history.insert(numbers)
    if answer.inserted != numbers.count || answer.duplicates != 0 {
      throw ToolError("inserting \(numbers.count) sequences was answered \(answer)")
    }
    tally.note { $0.sequencesAcknowledged += numbers.count }
    history.prune(keeping: [])
  }

  private func refusals() throws {
    try connection.refusal(
      of: .corpusCreate(
        CorpusCreate(corpus: corpus, settings: CorpusSettings(depth: plan.depth + 1))),
      .corpusExists)
    try connection.refusal(of: .snapshotVerify(.named("no-such-one")), .snapshotNotFound)
    try connection.refusal(of: .snapshotVerify(.file(path: "/etc/passwd")), .unauthorized)
    try connection.refusal(of: .corpusDrop(CorpusDrop(corpus: "fixed")), .corpusNotFound)
  }

  private var size: (sequences: Int, tokens: Int) {
    (history.kept.count, history.kept.reduce(0) { $0 + history.size($1) })
  }

  private func takeSnapshot() throws -> SnapshotDescription {
    let name = "\(corpus)-\(actions)"
    actions += 1
    let made: SnapshotDescription = try connection.call(
      .snapshotCreate(SnapshotCreate(corpus: corpus, name: name)))
    guard made.name == name, made.sequences == size.sequences, made.tokens == size.tokens else {
      throw ToolError("a snapshot of \(size) is \(made)")
    }
    let verified: SnapshotDescription = try connection.call(.snapshotVerify(.named(name)))
    if verified != made { throw ToolError("verified was \(verified), made \(made)") }
    let list: SnapshotList = try connection.call(.snapshotList(corpus: corpus.text))
    if !list.snapshots.contains(made) { throw ToolError("\(made) is not among \(list)") }
    return made
  }

  private func copyAndCompare(_ snapshot: SnapshotDescription) throws {
    let stands: CorpusStatistics = try connection.call(
      .snapshotRestore(SnapshotRestore(.named(snapshot.name), corpus: copy)))
    guard stands.sequences == size.sequences, stands.tokens == size.tokens, stands.damage.isEmpty
    else { throw ToolError("restored was \(stands) of \(snapshot)") }
    try connection.refusal(
      of: .snapshotRestore(SnapshotRestore(.named(snapshot.name), corpus: copy)),
      .corpusExists)
    try compareDrafts(corpus)
    try compareDrafts(copy)
  }

  private func compareDrafts(_ corpus: CorpusName) throws {
    for _ in 0..<4 {
      guard let sequence = history.sequences.randomElement(using: &random) else { return }
      let context = Array(sequence.tokens.prefix(roll(1...sequence.tokens.count)).suffix(30))
      let options = DraftOptions.random(using: &random)
      let draft: Draft = try connection.call(
        .speculate(Speculate(corpus: corpus, context: context, options: options)))
      try check(draft, options, after: context, plan) {
        ScannedHistory(depth: plan.depth, sequences: history.sequences.map(\.tokens))
      }
    }
  }

  /// Forgets some sequences, and merges them back from the copy.
  private func forget(_ snapshot: SnapshotDescription, _ before: OwnHistory) throws {
    let chosen = Set(
      (0..<roll(1...5)).compactMap { _ in history.kept.randomElement(using: &random) }
    ).sorted()
    let answer: ForgetReceipt = try connection.call(
      .sequenceForget(
        SequenceForget(corpus: corpus, ids: chosen.map { history[$0]!.id! } + ["no-such-one"])))
    let tokens = chosen.reduce(0) { $0 + history.size($1) }
    history.remove(chosen)
    guard answer.forgotten == chosen.count, answer.tokens == tokens, answer.missing == 1,
      answer.olderSnapshots.contains(snapshot.name)
    else { throw ToolError("forgetting \(chosen.count) with \(tokens) tokens was \(answer)") }
    try compareDrafts(corpus)
    // Without room, others would have to leave.
    if size.tokens + tokens > history.rule.tokens! { return }
    let merged: MergeReceipt = try connection.call(
      .corpusMerge(CorpusMerge(from: copy, into: corpus)))
    guard merged.sequences == chosen.count, merged.tokens == tokens,
      merged.duplicates == before.kept.count - chosen.count, merged.conflicts == 0
    else { throw ToolError("merging \(chosen.count) with \(tokens) tokens was \(merged)") }
    // They arrive in their old order.
    history.insert(
      chosen.sorted { before.kept.firstIndex(of: $0)! < before.kept.firstIndex(of: $1)! })
    try compareDrafts(corpus)
  }

  private func restore(_ snapshot: SnapshotDescription, _ before: OwnHistory) throws {
    let stands: CorpusStatistics = try connection.call(
      .snapshotRestore(
        SnapshotRestore(.named(snapshot.name), corpus: corpus, replace: true)))
    history = before
    guard stands.sequences == size.sequences, stands.tokens == size.tokens else {
      throw ToolError("restored was \(stands) of \(snapshot)")
    }
    try compareDrafts(corpus)
  }

  private func lookAtMetrics() throws {
    let metrics: ServerMetrics = try auditor.call(.serverMetrics)
    guard let told = try HTTPConnection(port: Int(site.httpPort)).get("/metrics"),
      told.status == 200
    else { throw ToolError("no metrics on port \(site.httpPort)") }
    for text in [metrics.text, told.body] {
      if !text.contains("\nreprise_") || !text.contains("corpus=\"\(corpus)\"") {
        throw ToolError("metrics without what they must tell: \(text.prefix(300))")
      }
    }
    let health: Health = try connection.call(.healthReady)
    if !health.ok { throw ToolError("not ready: \(health)") }
    let list: CorpusList = try connection.call(.corpusList)
    if let other = list.corpora.first(where: { !$0.corpus.text.hasPrefix("op-") }) {
      throw ToolError("\(other.corpus) is shown to whom it is not for")
    }
  }
}
