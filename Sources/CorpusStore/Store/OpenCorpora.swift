import Concurrency
import RepriseModel
import StoreErrors

/// The corpora of a store that are open, and the failures of those that cannot be used.
final class OpenCorpora: Sendable {
  private struct State {
    var corpora: [CorpusName: Corpus] = [:]
    var failures: [CorpusName: StoreError] = [:]
  }

  private let state = Locked(State())

  /// Finds a corpus by its name.
  ///
  /// - Returns: nil if it does not exist.
  /// - Throws: The reason why an existing corpus cannot be used.
  func find(_ name: CorpusName) throws(StoreError) -> Corpus? {
    try state.withLock { (state) throws(StoreError) in
      if let failure = state.failures[name] { throw failure }
      return state.corpora[name]
    }
  }

  /// All that can be used, by name.
  var all: [Corpus] {
    state.withLock { Array($0.corpora.values) }.sorted { $0.name < $1.name }
  }

  /// True if a corpus of this name exists, also if it cannot be used.
  func holds(_ name: CorpusName) -> Bool {
    state.withLock { $0.corpora[name] != nil || $0.failures[name] != nil }
  }

  /// The number of corpora, including those that cannot be used.
  var count: Int { state.withLock { $0.corpora.count + $0.failures.count } }

  /// Adds a corpus, also in place of one that could not be used.
  func add(_ corpus: Corpus) {
    state.withLock { state in
      state.corpora[corpus.name] = corpus
      state.failures[corpus.name] = nil
    }
  }

  /// Notes that a corpus cannot be used.
  func add(_ name: CorpusName, failure: StoreError) {
    state.withLock { $0.failures[name] = failure }
  }

  /// Takes a corpus out. Returns it if it could be used.
  func remove(_ name: CorpusName) -> Corpus? {
    state.withLock { state in
      state.failures[name] = nil
      return state.corpora.removeValue(forKey: name)
    }
  }

  /// Removes those that could be used.
  func removeAll() { state.withLock { $0.corpora = [:] } }
}
