import CorpusStore
import NIOCore
import RepriseModel
import WireProtocol

/// The drafts of one request. There may be thousands, so they are computed in quanta, between which
/// the event loop serves other connections.
package struct DraftRun {
  private enum Work {
    case contexts(Speculate, of: Corpus)
    case steps(SessionStep, of: Principal)
  }

  private let work: Work
  private let count: Int
  private var position = 0
  private var bytes = 0

  /// The drafts of a `speculate` with several contexts.
  init(_ call: Speculate, of corpus: Corpus) {
    work = .contexts(call, of: corpus)
    count = call.contexts.count
  }

  init(_ call: SessionStep, of principal: Principal) {
    work = .steps(call, of: principal)
    count = call.steps.count
  }

  /// Computes drafts, at least one, until all are done or the caller's quantum is over.
  ///
  /// - Parameter writer: Receives the members of the result, over all quanta.
  /// - Returns: True if all drafts are done.
  mutating func goOn(_ caller: inout Caller, _ writer: inout JSONWriter) -> Bool {
    if position == 0 { DraftList.begin(&writer) }
    while position < count {
      let start = writer.count
      do throws(WireError) {
        try caller.refuseBeyondLimit(answerBytes: bytes)
        switch work {
        case .contexts(let call, let corpus):
          if let refusal = call.refusals[position] { throw refusal }
          try Self.draft(call, position, of: corpus, &caller)
        case .steps(let call, let principal):
          if let refusal = call.refusals[position] { throw refusal }
          try Self.draft(call, position, of: principal, &caller)
        }
        caller.tally.note(caller.draft)
        DraftList.write(caller.draft, to: &writer)
      } catch {
        DraftList.write(error, to: &writer)
      }
      bytes += writer.count - start
      position += 1
      if position < count && NIODeadline.now() >= caller.quantumEnds { return false }
    }
    DraftList.end(&writer)
    return true
  }

  /// Computes one of a call's drafts into the caller's buffer.
  static func draft(
    _ call: Speculate, _ position: Int, of corpus: Corpus, _ caller: inout Caller
  ) throws(WireError) {
    do throws(StoreError) {
      try corpus.speculate(
        call.tokens.span.extracting(call.contexts[position]), call.options,
        using: &caller.scratch, into: &caller.draft)
    } catch {
      throw WireError(error, corpus: call.corpus)
    }
  }

  /// Takes one of a call's steps; its draft is then in the caller's buffer.
  ///
  /// - Parameter place: The place of an accepted token in the request, if that is not a
  ///   `session.step`.
  static func draft(
    _ call: SessionStep, _ position: Int, of principal: Principal, _ caller: inout Caller,
    tokenAt place: ((Int) -> String)? = nil
  ) throws(WireError) {
    let step = call.steps[position]
    let session = try principal.sessions.use(
      step.session, adding: step.accept.count, now: .now())
    do throws(StoreError) {
      let outcome = try session.step(
        accepting: call.tokens.span.extracting(step.accept), step.options,
        using: &caller.scratch, into: &caller.draft)
      caller.tally.noteStep(outputTokens: step.accept.count, outcome)
    } catch {
      throw WireError(
        error, session: step.session,
        tokenAt: place ?? { "params.steps[\(position)].accept[\($0)]" })
    }
  }
}
