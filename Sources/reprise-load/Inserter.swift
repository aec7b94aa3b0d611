import RepriseModel
import TestSupport
import WireProtocol

/// Inserts in bulk into a corpus of its own that keeps the newest sequences, repeats earlier
/// inserts, and sends ids with other tokens; occasionally inserts into a corpus that keeps
/// everything.
final class Inserter: Behaviour {
  let base: WorkerBase
  let plan: CorpusPlan
  private var history: OwnHistory
  private var connection: Connection!
  /// Numbers of recently sent sequences, including those that have left since.
  private var recent: [Int32] = []
  private var lastOrder: UInt64?

  init(_ site: Site, _ number: Int) {
    plan = site.plan(ofKept: number)
    history = OwnHistory(plan.rule)
    base = WorkerBase(site, .inserters, number)
  }

  static var exactPerMille: Int { 100 }
  var pauseMillis: ClosedRange<Int> { 40...120 }

  var held: OwnCorpus? { OwnCorpus(plan.name, history) }

  func prepare() throws {
    connection = try site.connect(.inserters, tally)
    try site.create(plan, connection)
    for texts in plan.filling(using: &random) {
      lastOrder = try site.insert(texts, into: plan, connection)
      history.insert(texts)
    }
  }

  func act() throws {
    switch roll(0...99) {
    case 0..<5: try conflict()
    case 5..<10: try insertIntoLedger()
    case 10..<40: try speculate()
    default: try insert()
    }
  }

  func finish() throws { connection = nil }

  private func newSequence() -> Int32 {
    let id = chance(900)
    let tokens = plan.language.text(
      count: chance(30) ? roll(600...1500) : roll(1...120), using: &random)
    let number = history.number(OwnHistory.Sequence(id: nil, tokens: tokens))
    if id { history.name(number, "\(plan.name)/\(number)") }
    return number
  }

  private func wire(_ number: Int32) -> NewSequence {
    let sequence = history[number]!
    return NewSequence(id: sequence.id, tokens: sequence.tokens)
  }

  private func insert() throws {
    var numbers: [Int32] = []
    for _ in 0..<roll(1...12) {
      if chance(150), let again = recent.randomElement(using: &random) {
        numbers.append(again)
      } else {
        let number = newSequence()
        numbers.append(number)
        // Occasionally twice in one call.
        if history[number]?.id != nil {
          recent.append(number)
          if chance(20) { numbers.append(number) }
        }
      }
    }
    let answer: InsertReceipt = try connection.call(
      .sequenceInsert(SequenceInsert(corpus: plan.name, sequences: numbers.map(wire))))
    let known = Set(history.kept)
    let added = history.insert(numbers)
    let order =
      added.isEmpty ? nil : (lastOrder.map { $0 + UInt64(added.count) } ?? answer.lastOrder)
    let tokens = added.reduce(0) { $0 + history.size($1) }
    guard answer.inserted == added.count, answer.duplicates == numbers.count - added.count,
      answer.tokens == tokens, answer.lastOrder == order
    else {
      throw ToolError(
        "inserting \(numbers) was answered \(answer), expected \(added.count) new ones with "
          + "\(tokens) tokens up to order \(order.map(String.init) ?? "none")")
    }
    lastOrder = order ?? lastOrder
    let again = numbers.count { known.contains($0) && !added.contains($0) }
    tally.note {
      $0.sequencesAcknowledged += added.count
      $0.sequencesFoundAgain += again
    }
    if recent.count > 400 { recent.removeFirst(recent.count - 300) }
    history.prune(keeping: recent)
  }

  /// Sends an id that belongs to other tokens: the call must change nothing.
  private func conflict() throws {
    guard let known = history.kept.last(where: { history[$0]?.id != nil }) else { return }
    var other = wire(known)
    other.tokens.append(plan.language.token(using: &random))
    let new = NewSequence(tokens: plan.language.text(count: 20, using: &random))
    let error = try connection.refusal(
      of: .sequenceInsert(SequenceInsert(corpus: plan.name, sequences: [new, other])), .conflict)
    if error.details["id"] != .text(other.id!) { throw ToolError("the conflict names \(error)") }
  }

  private func insertIntoLedger() throws {
    let ledger = chance(700) ? site.ledger : site.lateLedger
    let id = "\(number)-\(roll(0...Int.max))"
    let tokens = ledger.plan.language.text(count: roll(2...30), using: &random)
    let answer: InsertReceipt = try connection.call(
      .sequenceInsert(
        SequenceInsert(corpus: ledger.name, sequences: [.init(id: id, tokens: tokens)])))
    guard answer.inserted == 1, answer.duplicates == 0, let order = answer.lastOrder else {
      throw ToolError("inserting one sequence was answered \(answer)")
    }
    ledger.acknowledge(.init(order: order, id: id, tokens: tokens))
    tally.note { $0.sequencesAcknowledged += 1 }
  }

  private func speculate() throws {
    guard let sequence = history.kept.randomElement(using: &random).flatMap({ history[$0] })
    else { return }
    var context = Array(sequence.tokens.prefix(roll(1...sequence.tokens.count)).suffix(80))
    if chance(200) { context.append(plan.language.token(using: &random)) }
    let options = DraftOptions.random(using: &random)
    let draft: Draft = try connection.call(
      .speculate(Speculate(corpus: plan.name, context: context, options: options)))
    try check(draft, options, after: context, plan) {
      ScannedHistory(depth: plan.depth, sequences: history.sequences.map(\.tokens))
    }
  }
}
