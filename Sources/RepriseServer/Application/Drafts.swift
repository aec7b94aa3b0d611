import CorpusStore
import RepriseModel
import StoreErrors
import WireProtocol

/// The calls for drafts without a session.
struct Drafts: Sendable {
  let corpora: Corpora

  func speculate(_ call: Speculate) throws(WireError) -> Answer {
    .drafts(DraftRun(call, of: try corpora.corpus(call.corpus)))
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
}
