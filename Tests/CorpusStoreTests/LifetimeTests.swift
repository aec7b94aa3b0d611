import CorpusFormat
import Foundation
import HistoryEngine
import LMDB
import RepriseModel
import SuffixIndex
import Synchronization
import Testing

@testable import CorpusStore

/// A corpus that was dropped or closed, and a file that was replaced, are freed with all that they
/// hold.
///
/// What went wrong: a growing part kept the sessions whose output grows in it, a session keeps its
/// part and its corpus, and dropping broke neither reference: each dropped corpus with such a
/// session kept its indexes for the life of the process.
@Suite struct LifetimeTests {
  /// The ways in which a session ends, before its corpus does or after it.
  private enum Ending: CaseIterable {
    case recorded, notRecorded, recordedAfterwards, letGo
  }

  private struct Objects {
    weak var corpus: Corpus?
    weak var file: CorpusFile?
    weak var environment: Environment?
    weak var session: DecodingSession?

    init(_ corpus: Corpus, _ session: DecodingSession) {
      self.corpus = corpus
      file = corpus.stored.file
      environment = corpus.stored.file.environment
      self.session = session
    }

    /// The writer's thread releases its corpus just after the wait for it ends.
    func areFreed() -> Bool {
      eventually { corpus == nil && file == nil && environment == nil && session == nil }
    }
  }

  /// Waits for a session's end. Returns true if it was recorded, or not, as requested.
  @discardableResult
  private func close(_ session: DecodingSession, record: Bool) -> Bool {
    let ended = DispatchSemaphore(value: 0)
    let outcome = Outcome()
    session.close(record: record) { result in
      if case .success = result { outcome.succeeded.store(true, ordering: .relaxed) }
      ended.signal()
    }
    ended.wait()
    return outcome.succeeded.load(ordering: .relaxed)
  }

  private final class Outcome: Sendable {
    let succeeded = Atomic(false)
  }

  private func step(_ session: DecodingSession, _ tokens: [Int32]) throws {
    var scratch = DraftScratch()
    var draft = Draft()
    try session.step(accepting: tokens.span, DraftOptions(), using: &scratch, into: &draft)
  }

  /// Brings a corpus and a session into a state, ends the corpus with `end`, and releases both.
  private func use(
    _ store: Store, _ share: SharePolicy, stepped: Bool, _ ending: Ending, durability: Durability,
    end: (Store) throws -> Void
  ) throws -> Objects {
    // Because of a bound of age, the corpus is checked repeatedly.
    let corpus = try store.createCorpus(
      named: "c",
      CorpusSettings(retention: Retention(ageSeconds: 3600), durability: durability))
    for number in 0..<6 {
      try corpus.insert([NewSequence(tokens: [Int32](repeating: Int32(number), count: 20))])
    }
    let session = corpus.openSession(prompt: [1, 2, 3], share: share)
    if stepped { try step(session, [4, 5, 6]) }
    let objects = Objects(corpus, session)
    switch ending {
    case .recorded: #expect(close(session, record: true))
    case .notRecorded: #expect(close(session, record: false))
    case .recordedAfterwards, .letGo: break
    }
    try end(store)
    #expect(corpus.isClosed)
    if ending == .recordedAfterwards {
      close(session, record: true)
      // The session has ended, whether or not there was something to record.
      #expect(!close(session, record: true))
    }
    return objects
  }

  @Test(arguments: [false, true]) func aDroppedCorpusIsFreed(background: Bool) throws {
    let directory = TemporaryDirectory()
    let store = try Store(path: directory.path, options: .tiny(background: background))
    defer { store.close() }
    for share in [SharePolicy.live, .close, .never] {
      for stepped in [false, true] {
        for ending in Ending.allCases {
          let durability = stepped ? Durability.commit : .interval(millis: 60_000)
          let objects = try use(store, share, stepped: stepped, ending, durability: durability) {
            let dropped = try $0.dropCorpus(named: "c")
            #expect(dropped)
          }
          #expect(objects.areFreed(), "\(share), stepped \(stepped), \(ending)")
        }
      }
    }
  }

  /// The store is kept alive: the corpora that it closed must not be.
  @Test func theCorporaOfAClosedStoreAreFreed() throws {
    for ending in Ending.allCases {
      let directory = TemporaryDirectory()
      let store = try Store(path: directory.path, options: .tiny(background: true))
      let objects = try use(store, .live, stepped: true, ending, durability: .commit) { $0.close() }
      #expect(objects.areFreed(), "\(ending)")
      withExtendedLifetime(store) {}
    }
  }

  @Test func aFileThatIsReplacedIsFreed() throws {
    let directory = TemporaryDirectory()
    let store = try Store(path: directory.path, options: .tiny())
    defer { store.close() }
    // Only a history and its segments keep their mark.
    weak var mark: DamageMark?
    func replace() throws -> (old: Objects, new: Objects) {
      let corpus = try store.createCorpus(named: "c", CorpusSettings())
      try corpus.insert([NewSequence(tokens: [7, 8, 9])])
      let session = corpus.openSession(prompt: [1], share: .live)
      try step(session, [4, 5, 6])
      _ = try store.createSnapshot(ofCorpus: "c", named: "s")
      let old = Objects(corpus, session)
      mark = corpus.history.damageMark
      try store.restore(.named("s"), into: "c", replacing: true)
      #expect(old.corpus === corpus, "it is the same corpus, with another file")
      #expect(eventually { old.file == nil && old.environment == nil })
      #expect(mark == nil)
      // The session continues in the new file, and keeps no part of the old one alive.
      try step(session, [5, 6])
      let new = Objects(corpus, session)
      #expect(try store.dropCorpus(named: "c"))
      return (old, new)
    }
    let (_, new) = try replace()
    #expect(new.areFreed())
  }

  /// Unwritten data is kept alive by nothing either: a job keeps its session, the session its
  /// corpus, and the corpus the writer with its jobs.
  @Test func aCorpusWithWhatCouldNotBeWrittenIsFreed() throws {
    let directory = TemporaryDirectory()
    var options = StoreOptions.tiny(sealTokens: 1 << 20)
    options.mapBytes = 1 << 20
    let store = try Store(path: directory.path, options: options)
    func fill() throws -> Objects {
      let corpus = try store.createCorpus(
        named: "c", CorpusSettings(durability: .interval(millis: 60_000)))
      let session = corpus.openSession(prompt: [1], share: .live)
      // More than the map has room for.
      for token in 0..<30 {
        try step(session, [Int32](repeating: Int32(token), count: 10_000))
      }
      let objects = Objects(corpus, session)
      #expect(close(session, record: true), "it is answered before it is written")
      #expect(corpus.stats().unsavedSequences == 1)
      #expect(try store.dropCorpus(named: "c"))
      return objects
    }
    #expect(try fill().areFreed())
    store.close()
  }
}
