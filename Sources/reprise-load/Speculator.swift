import RepriseModel
import TestSupport
import WireProtocol

/// Drafts without a session: from a corpus that never changes, so that all answers are known, and
/// from corpora that others write to.
final class Speculator: Behaviour {
  let base: WorkerBase
  private var connection: Connection!
  private lazy var fixed = ScannedHistory(
    depth: site.fixed.plan.depth, sequences: site.fixed.sequences)

  init(_ site: Site, _ number: Int) { base = WorkerBase(site, .speculators, number) }

  static var exactPerMille: Int { 60 }
  var pauseMillis: ClosedRange<Int> { 10...40 }

  func prepare() throws { connection = try site.connect(.reader, tally) }

  func act() throws {
    switch roll(0...9) {
    case 0..<4: try askAlone()
    case 4..<6: try askTogether()
    case 6..<8: try askWithoutWaiting()
    case 8: try askShared()
    default: try tryWhatIsNotAllowed()
    }
  }

  func finish() throws { connection = nil }

  private func context() -> [Int32] {
    let sequence = site.fixed.sequences.randomElement(using: &random)!
    var context = Array(sequence.prefix(roll(1...sequence.count)).suffix(roll(1...60)))
    if chance(200) { context.append(site.fixed.plan.language.token(using: &random)) }
    return context
  }

  private func check(_ draft: Draft, _ options: DraftOptions, _ context: [Int32]) throws {
    // The options of one request are kept for the next, but not forever.
    if chance(20) {
      fixed = ScannedHistory(depth: site.fixed.plan.depth, sequences: site.fixed.sequences)
    }
    try check(draft, options, after: context, site.fixed.plan) { fixed }
  }

  private func askAlone() throws {
    let (context, options) = (context(), DraftOptions.random(using: &random))
    let draft: Draft = try connection.call(
      .speculate(Speculate(corpus: "fixed", context: context, options: options)))
    try check(draft, options, context)
  }

  private func askTogether() throws {
    let contexts = (0..<roll(1...8)).map { _ in context() }
    let options = DraftOptions.random(using: &random)
    let list: DraftList = try connection.call(
      .speculate(Speculate(corpus: "fixed", contexts: contexts, options: options)))
    if list.drafts.count != contexts.count {
      throw ToolError("\(list.drafts.count) drafts for \(contexts.count) contexts")
    }
    for (draft, context) in zip(list.drafts, contexts) {
      try check(try draft.get(), options, context)
    }
  }

  /// Several requests at once: each answer must be under its own id.
  private func askWithoutWaiting() throws {
    let asked = (0..<roll(2...6)).map { _ in (context(), DraftOptions.random(using: &random)) }
    let answers = try connection.exchange(
      asked.map { .speculate(Speculate(corpus: "fixed", context: $0, options: $1)) })
    for (answer, (context, options)) in zip(answers, asked) {
      guard let draft = try answer.get() as? Draft else { throw ToolError("no draft: \(answer)") }
      try check(draft, options, context)
    }
  }

  private func askShared() throws {
    let ledger = site.shared.randomElement(using: &random)!
    let context = ledger.plan.language.text(count: roll(1...40), using: &random)
    let options = DraftOptions.random(using: &random)
    let draft: Draft = try connection.call(
      .speculate(Speculate(corpus: ledger.name, context: context, options: options)))
    try check(draft, options, after: context, ledger.plan)
  }

  /// A token for reading must not allow more.
  private func tryWhatIsNotAllowed() throws {
    switch roll(0...3) {
    case 0:
      try connection.refusal(
        of: .sequenceInsert(SequenceInsert(corpus: "fixed", sequences: [.init(tokens: [1])])),
        .unauthorized)
    case 1:
      try connection.refusal(
        of: .speculate(Speculate(corpus: "own-0", context: [1])), .corpusNotFound)
    case 2: try connection.refusal(of: .corpusDrop(CorpusDrop(corpus: "fixed")), .unauthorized)
    default: try connection.refusal(of: .serverMetrics, .unauthorized)
    }
  }
}
