import Concurrency
import CorpusStore
import Logging
import RepriseModel
import WireProtocol

/// Creating, finding and dropping corpora.
extension Responder {
  func corpus(_ name: CorpusName) throws(WireError) -> Corpus {
    do throws(StoreError) {
      if let corpus = try store.corpus(named: name) { return corpus }
    } catch {
      throw WireError(error, corpus: name)
    }
    throw .corpusNotFound(name)
  }

  /// Refuses a corpus that would exceed the limit.
  func refuseBeyondLimit(_ name: CorpusName) throws(WireError) {
    let count = store.corpusCount
    if count >= options.limits.corporaMax, !store.holdsCorpus(named: name) {
      throw .limit(
        .corpora, max: options.limits.corporaMax, got: count + 1, "the number of corpora",
        remedy: "drop one, or allow more of them, for which the service may need more open files")
    }
  }

  func create(_ call: CorpusCreate, _ completion: () -> Completion) throws(WireError) {
    try refuseBeyondLimit(call.corpus)
    let completion = completion()
    disk.run { [self] in
      // Others may have been created since the request.
      do throws(WireError) {
        try refuseBeyondLimit(call.corpus)
      } catch {
        return completion(.failure(error))
      }
      do throws(StoreError) {
        let corpus = try store.createCorpus(named: call.corpus, call.settings)
        logger.info("corpus exists", metadata: ["corpus": "\(call.corpus)"])
        completion(.success(CorpusDescription(corpus: corpus.name, settings: corpus.settings)))
      } catch {
        completion(.failure(wireError(error, corpus: call.corpus)))
      }
    }
  }

  func drop(_ call: CorpusDrop, _ completion: () -> Completion) throws(WireError) {
    if !store.holdsCorpus(named: call.corpus) { throw .corpusNotFound(call.corpus) }
    // A corpus that cannot be used has no sessions.
    let corpus = try? corpus(call.corpus)
    let completion = completion()
    disk.run { [self] in
      do throws(StoreError) {
        let dropped = try store.dropCorpus(named: call.corpus)
        if let corpus { sessions.forget(corpus: corpus) }
        logger.notice("corpus dropped", metadata: ["corpus": "\(call.corpus)"])
        completion(.success(CorpusDropped(dropped: dropped)))
      } catch {
        completion(.failure(wireError(error, corpus: call.corpus)))
      }
    }
  }
}
