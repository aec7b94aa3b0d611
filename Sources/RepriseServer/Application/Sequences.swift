import CorpusStore
import Logging
import RepriseModel
import StoreErrors
import WireProtocol

/// The calls that add sequences to a corpus, and remove them by their ids.
struct Sequences: Sendable {
  let corpora: Corpora
  let resources: ResourceGauge
  let operations: Operations
  let errors: StoreErrors

  func insert(_ call: SequenceInsert) throws(WireError) -> Answer {
    let corpus = try corpora.corpus(call.corpus)
    try resources.refuseInserts()
    if let tokenizer = call.tokenizer, tokenizer != corpus.settings.tokenizer {
      let expected = corpus.settings.tokenizer ?? "none"
      throw WireError(
        .tokenizerMismatch,
        "corpus \(corpus.name) holds tokens of tokenizer \(expected.excerpt), not \(tokenizer.excerpt); token "
          + "ids of different tokenizers must not be mixed, use another corpus",
        ["expected": .text(expected), "got": .text(tokenizer)])
    }
    return .later(
      LaterResult { [errors] completion in
        corpus.insert(call.sequences) { result in
          switch result {
          case .success(let receipt): completion(.success(receipt))
          case .failure(let error):
            completion(.failure(errors.translated(error, corpus: call.corpus)))
          }
        }
      })
  }

  func forget(_ call: SequenceForget) throws(WireError) -> Answer {
    _ = try corpora.corpus(call.corpus)
    return operations.answer("sequences forgotten", ["corpus": "\(call.corpus)"]) {
      [corpora, errors] (line) throws(WireError) in
      let receipt = try errors.translating(corpus: call.corpus) { () throws(StoreError) in
        try corpora.store.forget(ids: call.ids, inCorpus: call.corpus)
      }
      line["sequences"] = "\(receipt.forgotten)"
      line["tokens"] = "\(receipt.tokens)"
      return receipt
    }
  }
}
