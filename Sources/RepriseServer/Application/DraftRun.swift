import CorpusStore
import HistoryEngine
import NIOCore
import RepriseModel
import StoreErrors
import WireProtocol

/// The drafts of one request. There may be thousands, so they are computed in quanta, between which
/// the event loop serves other connections.
package struct DraftRun {
  private enum Source {
    case contexts(Speculate, of: Corpus)
    case steps(SessionStep, in: SessionTable)
  }

  private let source: Source
  private let count: Int
  /// True if the result is a list of drafts, each with an error of its own; otherwise it is one draft.
  private let isList: Bool
  private var position = 0
  private var bytes = 0
  /// The drafts of a call with a budget or a cost, as long as some of them are missing.
  private var held: LineDrafts?
  /// The drafts of such a call once they are divided; nil where drafts are computed as they are written.
  private var divided: [Result<Draft, WireError>]?

  /// The drafts of a `speculate`.
  init(_ call: Speculate, of corpus: Corpus) {
    source = .contexts(call, of: corpus)
    count = call.contexts.count
    isList = call.isBatch
  }

  /// The drafts of a `session.step`.
  init(_ call: SessionStep, in table: SessionTable) {
    var call = call
    if let cost = call.verifyCost {
      let batch = max(call.steps.count, call.batch ?? 0)
      call.setMinProbability(cost.leastProbability(batch: batch))
    }
    source = .steps(call, in: table)
    count = call.steps.count
    isList = true
    held = LineDrafts(call)
  }

  /// Computes and writes drafts, at least one, until all are done or the quantum is over.
  ///
  /// - Returns: True if all drafts are done.
  mutating func write(
    to writer: inout JSONWriter, for caller: inout Caller, until quantumEnds: NIODeadline
  ) throws(WireError) -> Bool {
    if !isList {
      try draft(&caller)
      caller.tally.note(caller.draft)
      caller.draft.write(to: &writer)
      return true
    }
    if held != nil {
      if !hold(for: &caller, until: quantumEnds) { return false }
      divide()
    }
    if position == 0 { DraftList.begin(&writer) }
    while position < count {
      let start = writer.count
      do throws(WireError) {
        try caller.refuseBeyondLimit(answerBytes: bytes)
        if let divided {
          caller.draft = try divided[position].get()
        } else {
          try draft(&caller)
        }
        caller.tally.note(caller.draft)
        DraftList.write(caller.draft, to: &writer)
      } catch {
        DraftList.write(error, to: &writer)
      }
      bytes += writer.count - start
      position += 1
      if position < count && NIODeadline.now() >= quantumEnds { return false }
    }
    DraftList.end(&writer)
    return true
  }

  /// Computes the next draft into the caller's buffer.
  private func draft(_ caller: inout Caller) throws(WireError) {
    switch source {
    case .contexts(let call, let corpus):
      if let refusal = call.refusals[position] { throw refusal }
      try Drafts.draft(call, position, of: corpus, &caller)
    case .steps(let call, let table):
      if let refusal = call.refusals[position] { throw refusal }
      try Sessions.step(call, position, in: table, &caller)
    }
  }

  // MARK: Budgets and costs

  /// Computes drafts of a call with a budget or a cost, at least one, until all are done or the quantum
  /// is over.
  ///
  /// - Returns: True if all are done.
  private mutating func hold(for caller: inout Caller, until quantumEnds: NIODeadline) -> Bool {
    while position < count {
      do throws(WireError) {
        try draft(&caller)
        held?.append(caller.draft)
      } catch {
        held?.append(error)
      }
      position += 1
      if position < count && NIODeadline.now() >= quantumEnds { return false }
    }
    return true
  }

  /// Keeps the tokens that are to be verified, and begins anew with the first draft.
  private mutating func divide() {
    guard var line = held.take(), case .steps(let call, let table) = source else { return }
    line.divide()
    divided = line.drafts
    position = 0
    for (step, draft) in zip(call.steps, line.drafts) {
      if let draft = try? draft.get() { table.session(step.session)?.keepDrafted(draft.count) }
    }
  }
}
