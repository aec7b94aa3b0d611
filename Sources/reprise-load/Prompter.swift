import RepriseModel
import TestSupport
import WireProtocol

/// Opens sessions with prompts of up to 100,000 tokens, and continues them in further chat turns.
final class Prompter: Behaviour {
  let base: WorkerBase
  private var connection: Connection!
  private let ledger: SharedLedger
  private var context: [Int32] = []
  private var parent: String?

  private static let promptTokensMax = 100_000

  init(_ site: Site, _ number: Int) {
    ledger = site.shared[number % site.shared.count]
    base = WorkerBase(site, .prompters, number)
  }

  static var exactPerMille: Int { 10 }
  var pauseMillis: ClosedRange<Int> { 200...800 }

  func prepare() throws { connection = try site.connect(.sharers, tally) }
  func finish() throws { connection = nil }

  func act() throws {
    let language = ledger.plan.language
    let more = chance(100) ? Self.promptTokensMax : roll(2000...20_000)
    if parent == nil || context.count + more > Self.promptTokensMax {
      (context, parent) = ([], nil)
    }
    let reusable = parent == nil ? 0 : context.count
    context += language.text(after: context.last, count: more, using: &random)
    let opened: SessionOpened = try connection.call(
      .sessionOpen(
        SessionOpen(corpus: ledger.name, prompt: context, parent: parent, share: .never)))
    guard opened.promptTokens == context.count, [0, reusable].contains(opened.reusedTokens) else {
      throw ToolError("a prompt of \(context.count) tokens, \(reusable) known: \(opened)")
    }
    for _ in 0..<8 { try step(opened.session) }
    let closed: RecordReceipt = try connection.call(
      .sessionClose(SessionClose(session: opened.session)))
    if closed.recordedTokens != 0 {
      throw ToolError("recorded what is to leave nothing: \(closed)")
    }
    parent = opened.session
  }

  private func step(_ session: String) throws {
    let accepted = ledger.plan.language.text(
      after: context.last, count: roll(1...8), using: &random)
    context += accepted
    let options = DraftOptions.random(using: &random)
    var call = SessionStep()
    call.append(session: session, accept: accepted, options: options)
    let list: DraftList = try connection.call(.sessionStep(call))
    guard list.drafts.count == 1 else { throw ToolError("\(list.drafts.count) drafts for one") }
    let draft = try list.drafts[0].get()
    try check(draft, options, after: context, ledger.plan)
    guard draft.source == .local, isSampled() else { return }
    var expected = asking {
      NaiveDrafter(options).draft(
        from: ScannedHistory(depth: ledger.plan.depth, sequences: [context]), context: context)
    }
    expected.source = .local
    try compare(draft, expected, options, after: context, ledger.plan)
  }
}
