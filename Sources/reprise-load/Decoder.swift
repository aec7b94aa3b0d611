import RepriseModel
import TestSupport
import WireProtocol

/// Decodes 1 to 16 sessions at a time, as a model would: each step accepts the part of the last
/// draft that the model agrees with, and one token more.
final class Decoder: Behaviour {
  let base: WorkerBase

  /// The sequences that the corpus holds, as far as this worker knows them.
  enum Truth {
    /// Only this worker writes to the corpus.
    case own(OwnHistory)
    case shared(SharedLedger)
  }

  private struct Session {
    let name: String
    let share: SharePolicy
    let promptTokens: Int
    /// The number of tokens that it will have written at its end.
    let outputTokensMax: Int
    let options: DraftOptions
    var context: [Int32]
    /// The next tokens of the model.
    var ahead: [Int32] = []
    var drafted = Draft()

    var output: ArraySlice<Int32> { context[promptTokens...] }

    /// The text that the shared history holds of it, or will hold.
    var sharedText: [Int32] {
      output.isEmpty ? [] : context[..<promptTokens].suffix(LeadIn.standard) + output
    }
  }

  private var truth: Truth
  let plan: CorpusPlan
  private let tenant: Tenant
  private let sessionsMax: Int
  private var connection: Connection!
  private var sessions: [Session] = []
  /// The last session that was closed: its name and its whole text.
  private var last: (name: String, context: [Int32])?
  private var opened = 0
  private var templates: [[Int32]] = []

  init(own site: Site, _ number: Int) {
    plan = site.plan(ofOwn: number)
    truth = .own(OwnHistory(plan.rule))
    tenant = .decoders
    sessionsMax = 1 + number % 16
    base = WorkerBase(site, .decoders, number)
  }

  init(sharing site: Site, _ number: Int) {
    let ledger = site.shared[number % site.shared.count]
    truth = .shared(ledger)
    plan = ledger.plan
    tenant = .sharers
    sessionsMax = 1 + number % 16
    base = WorkerBase(site, .sharers, number)
  }

  func prepare() throws {
    connection = try site.connect(tenant, tally)
    if case .own(var history) = truth {
      try site.create(plan, connection)
      for texts in plan.filling(using: &random) {
        try site.insert(texts, into: plan, connection)
        history.insert(texts)
      }
      truth = .own(history)
    }
    for _ in 0..<4 { templates.append(plan.language.text(count: roll(20...200), using: &random)) }
  }

  func act() throws {
    if sessions.count < sessionsMax && (sessions.isEmpty || chance(300)) { try open() }
    try step()
    if let done = sessions.firstIndex(where: { $0.output.count >= $0.outputTokensMax }) {
      try close(done)
    }
  }

  /// Closes all sessions but one. The last one is left to the end of the connection, or of the
  /// service.
  func finish() throws {
    while sessions.count > (isOwn ? 1 : 0) { try close(0) }
    if let left = sessions.first { record(left.share == .never ? [] : left.sharedText) }
    connection = nil
  }

  private var isOwn: Bool { if case .own = truth { true } else { false } }

  var held: OwnCorpus? {
    if case .own(let history) = truth { OwnCorpus(plan.name, history) } else { nil }
  }

  // MARK: Calls

  private func open() throws {
    opened += 1
    var prompt: [Int32]
    var parent: String?
    if let last, chance(400), last.context.count < 3000 {
      prompt = last.context
      parent = last.name
    } else {
      prompt = templates.randomElement(using: &random)!
    }
    // A session without a parent may begin with any text.
    if !chance(20) {
      prompt += plan.language.text(after: prompt.last, count: roll(0...60), using: &random)
    } else {
      (prompt, parent) = ([], nil)
    }
    let isNamed = chance(500)
    let call = SessionOpen(
      corpus: plan.name, session: isNamed ? "\(plan.name)-\(number)-\(opened)" : nil,
      prompt: prompt,
      parent: parent, share: [.live, .live, .close, .never].randomElement(using: &random)!)
    let answer: SessionOpened = try connection.call(.sessionOpen(call))
    let reusable = parent == nil ? 0 : last!.context.count
    guard answer.promptTokens == prompt.count, [0, reusable].contains(answer.reusedTokens),
      !isNamed || answer.session == call.session
    else { throw ToolError("opening with \(prompt.count) tokens was answered \(answer)") }
    if parent != nil { last = nil }
    sessions.append(
      Session(
        name: answer.session, share: call.share, promptTokens: prompt.count,
        outputTokensMax: roll(10...300), options: DraftOptions.random(using: &random),
        context: prompt))
  }

  private func step() throws {
    var call = SessionStep()
    var expected: [Int: NaiveDraft] = [:]
    for place in sessions.indices {
      let accepted = accept(place)
      sessions[place].context += accepted
      call.append(
        session: sessions[place].name, accept: accepted, options: sessions[place].options)
      // Later steps of the line add to the history only after this draft.
      if isSampled() { expected[place] = asking { oracle(place) } }
    }
    let list: DraftList = try connection.call(.sessionStep(call))
    if list.drafts.count != sessions.count {
      throw ToolError("\(list.drafts.count) drafts for \(sessions.count) steps")
    }
    for (place, result) in list.drafts.enumerated() {
      let draft = try result.get()
      try check(draft, place, expected[place])
      sessions[place].drafted = draft
    }
  }

  /// The tokens that join the output: the part of the draft that the model agrees with, and its
  /// own.
  private func accept(_ place: Int) -> [Int32] {
    let wanted = sessions[place].drafted.count + 1
    let last = sessions[place].ahead.last ?? sessions[place].context.last
    let more = plan.language.text(
      after: last, count: max(0, wanted - sessions[place].ahead.count), using: &random)
    sessions[place].ahead += more
    let agreed = sessions[place].drafted.acceptedTokens(by: sessions[place].ahead[...])
    let accepted = Array(sessions[place].ahead.prefix(agreed + 1))
    sessions[place].ahead.removeFirst(accepted.count)
    return accepted
  }

  /// The oracle's draft for a session. If this worker alone writes to the corpus, the session must get
  /// it. Over a shared corpus it is the best draft from the session's own text, and the session must get
  /// it or a better one from the shared history.
  private func oracle(_ place: Int) -> NaiveDraft {
    let session = sessions[place]
    let naive = NaiveDrafter(session.options)
    let local = ScannedHistory(depth: plan.depth, sequences: [session.context])
    guard case .own(let history) = truth else {
      var draft = naive.draft(from: local, context: session.context)
      draft.source = .local
      return draft
    }
    let open = sessions.filter { $0.share == .live }.map(\.sharedText)
    let shared = ScannedHistory(
      depth: plan.depth, sequences: history.sequences.map(\.tokens) + open)
    return naive.draft(local: local, shared: shared, context: session.context)
  }

  private func check(_ draft: Draft, _ place: Int, _ expected: NaiveDraft?) throws {
    let (options, context) = (sessions[place].options, sessions[place].context)
    try check(draft, options, after: context, plan)
    guard let expected else { return }
    if isOwn || draft.source == .local {
      try compare(draft, expected, options, after: context, plan)
    } else if draft.score <= expected.score {
      // The shared history is used only if it beats the session's own.
      throw DraftJudge.error(
        "its own text has the better draft \(expected)", draft, options, after: context, plan)
    }
  }

  private func close(_ place: Int) throws {
    let session = sessions.remove(at: place)
    let records = chance(850)
    let answer: RecordReceipt = try connection.call(
      .sessionClose(SessionClose(session: session.name, record: records)))
    let outputTokens = session.output.count
    let isRecorded = records && session.share != .never && outputTokens > 0
    guard answer.recordedTokens == (isRecorded ? outputTokens : 0),
      (answer.order != nil) == isRecorded
    else { throw ToolError("closing \(session.name) with \(outputTokens) tokens: \(answer)") }
    last = (session.name, session.context)
    if let order = answer.order {
      tally.note { $0.sequencesAcknowledged += 1 }
      record(session.sharedText, order: order)
    }
  }

  private func record(_ text: [Int32], order: UInt64? = nil) {
    if text.isEmpty { return }
    switch truth {
    case .own(var history):
      let number = history.number(OwnHistory.Sequence(id: nil, tokens: text))
      history.insert([number])
      history.prune(keeping: [])
      truth = .own(history)
    case .shared(let ledger):
      if let order { ledger.acknowledge(.init(order: order, tokens: text)) }
    }
  }
}
