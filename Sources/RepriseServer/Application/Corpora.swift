import Access
import Concurrency
import CorpusStore
import Logging
import RepriseModel
import StoreErrors
import WireProtocol

/// The calls on whole corpora: creating, finding, describing, dropping and merging them.
struct Corpora: Sendable {
  let store: Store
  let corporaMax: Int
  let sessions: SessionTables
  /// Creates and drops corpora.
  let disk: WorkQueue
  let operations: Operations
  let errors: StoreErrors
  let logger: Logger

  func corpus(_ name: CorpusName) throws(WireError) -> Corpus {
    do throws(StoreError) {
      if let corpus = try store.corpus(named: name) { return corpus }
    } catch {
      throw WireError(error, corpus: name)
    }
    throw .corpusNotFound(name)
  }

  func list(for grant: Grant) -> Answer {
    let corpora = store.corpora().filter { grant.covers(corpus: $0.name) }
    return .result(CorpusList(corpora: corpora.map { $0.stats() }))
  }

  func statistics(of name: CorpusName) throws(WireError) -> Answer {
    .result(try corpus(name).stats())
  }

  /// Refuses a corpus that would exceed the limit.
  func refuseBeyondLimit(_ name: CorpusName) throws(WireError) {
    let count = store.corpusCount
    if count >= corporaMax, !store.holdsCorpus(named: name) {
      throw .limit(
        .corpora, max: corporaMax, got: count + 1, "the number of corpora",
        remedy: "drop one, or allow more of them, for which the service may need more open files")
    }
  }

  func create(_ call: CorpusCreate) throws(WireError) -> Answer {
    try refuseBeyondLimit(call.corpus)
    return .later(on: disk) { [self] () throws(WireError) in
      // Others may have been created since the request.
      try refuseBeyondLimit(call.corpus)
      let corpus = try errors.translating(corpus: call.corpus) { () throws(StoreError) in
        try store.createCorpus(named: call.corpus, call.settings)
      }
      logger.info("corpus exists", metadata: ["corpus": "\(call.corpus)"])
      return CorpusDescription(corpus: corpus.name, settings: corpus.settings)
    }
  }

  func drop(_ call: CorpusDrop) throws(WireError) -> Answer {
    if !store.holdsCorpus(named: call.corpus) { throw .corpusNotFound(call.corpus) }
    // A corpus that cannot be used has no sessions.
    let corpus = try? corpus(call.corpus)
    return .later(on: disk) { [self] () throws(WireError) in
      let dropped = try errors.translating(corpus: call.corpus) { () throws(StoreError) in
        try store.dropCorpus(named: call.corpus)
      }
      if let corpus { sessions.forget(corpus: corpus) }
      logger.notice("corpus dropped", metadata: ["corpus": "\(call.corpus)"])
      return CorpusDropped(dropped: dropped)
    }
  }

  func merge(_ call: CorpusMerge) throws(WireError) -> Answer {
    _ = try corpus(call.from)
    _ = try corpus(call.into)
    return operations.answer(
      "corpus merged", ["from": "\(call.from)", "corpus": "\(call.into)"]
    ) { [self] (line) throws(WireError) in
      let receipt = try errors.translating(corpus: call.into) { () throws(StoreError) in
        try store.mergeCorpus(from: call.from, into: call.into)
      }
      line["tokens"] = "\(receipt.tokens)"
      return receipt
    }
  }
}
