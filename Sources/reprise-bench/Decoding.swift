import CorpusStore
import Foundation
import HistoryEngine
import RepriseModel
import TestSupport
import ToolSupport

/// Decodes recorded outputs like a model that writes exactly these.
struct Decoding {
  var steps = Latencies()
  var tokens = 0
  var drafted = 0
  var accepted = 0

  /// The mean number of drafted tokens in a step.
  var draftedPerStep: Double { Double(drafted) / Double(max(1, steps.count)) }
  var acceptedPerStep: Double { Double(accepted) / Double(max(1, steps.count)) }

  /// Replays outputs through sessions in this process. One call for each step accepts and drafts.
  static func run(
    _ records: ArraySlice<Record>, over corpus: Corpus, _ options: DraftOptions
  ) throws -> Decoding {
    var decoding = Decoding()
    var scratch = DraftScratch()
    var draft = Draft()
    for record in records {
      let session = corpus.openSession(prompt: record.prompt, share: .close)
      var position = 0
      var joined = record.output[0..<0]
      while position < record.output.count {
        let start = nanoseconds()
        try session.step(accepting: joined.span, options, using: &scratch, into: &draft)
        decoding.steps.add(nanoseconds() - start)
        let rest = record.output[position...]
        let accepted = draft.acceptedTokens(by: rest)
        joined = rest.prefix(accepted + 1)
        position += joined.count
        decoding.drafted += draft.count
        decoding.accepted += accepted
      }
      decoding.tokens += record.output.count
      // Not recorded, so that every round has the same history.
      session.close(record: false) { _ in }
    }
    return decoding
  }
}
