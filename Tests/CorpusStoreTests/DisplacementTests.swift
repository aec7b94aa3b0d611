import Foundation
import RepriseModel
import StoreErrors
import Testing

@testable import CorpusStore

/// After files are removed, renamed or replaced while they are in use, nothing more is
/// acknowledged.
///
/// What went wrong: after the store's directory was removed, every insert was acknowledged, and the
/// end reported that all data was on disk.
@Suite struct DisplacementTests {
  private let directory = TemporaryDirectory()
  private let log = ReportLog()
  private let new = [NewSequence(tokens: [4, 5, 6])]

  private func open(_ durability: Durability = .commit) throws -> (Store, Corpus) {
    let store = try Store(
      path: "\(directory.path)/s", options: StoreOptions.tiny(), report: log.report)
    let corpus = try store.createCorpus(named: "c", CorpusSettings(durability: durability))
    try corpus.insert([NewSequence(tokens: [1, 2, 3])])
    return (store, corpus)
  }

  init() throws {
    try FileManager.default.createDirectory(
      atPath: directory.path, withIntermediateDirectories: true)
  }

  private func isDisplaced(_ body: () throws -> Void) -> Bool {
    do {
      try body()
      return false
    } catch {
      if case .displaced = error as? StoreError { return true }
      return false
    }
  }

  /// Regardless of other checks, an acknowledgement never comes after the file is gone.
  @Test(arguments: ["s", "s/corpora", "s/corpora/c", "s/corpora/c/data.mdb"])
  func nothingIsAcknowledgedWhenTheFileWasRemoved(path: String) throws {
    let (store, corpus) = try open()
    try FileManager.default.removeItem(atPath: "\(directory.path)/\(path)")
    #expect(isDisplaced { try corpus.insert(new) })
    #expect(isDisplaced { try corpus.writer.waitForJobs() })
    #expect(corpus.stats().sequences == 1)
    #expect(store.conditions.preventingReadiness.map(\.kind).contains(.directory))
    #expect(log.take().count == 1, "it is told once")
    #expect(!store.close().isEmpty, "not all is on disk")
  }

  /// Sequences that were acknowledged before, and would have been written later, are reported as
  /// lost.
  @Test func unwrittenSequencesAreReported() throws {
    let (store, corpus) = try open(.interval(millis: 60_000))
    #expect(corpus.stats().unsavedSequences == 1)
    try FileManager.default.removeItem(atPath: "\(directory.path)/s")
    #expect(isDisplaced { try corpus.insert(new) })
    #expect(corpus.stats().unsavedSequences == 1)
    let losses = store.close()
    #expect(losses.count == 1)
    #expect(
      losses[0].hasPrefix("1 acknowledged sequences of corpus c are not on disk and are lost"))
  }

  /// Renaming is noticed within a second, and renaming back clears the condition.
  @Test(arguments: ["s", "s/corpora", "s/corpora/c", "s/corpora/c/lock.mdb", "s/lock"])
  func nothingIsAcknowledgedWhileItIsSomewhereElse(path: String) throws {
    let (store, corpus) = try open()
    store.lookAfter()
    #expect(store.conditions.current.isEmpty)
    let place = "\(directory.path)/\(path)"
    try FileManager.default.moveItem(atPath: place, toPath: "\(directory.path)/elsewhere")
    store.lookAfter()
    #expect(isDisplaced { try corpus.insert(new) })
    #expect(!store.conditions.preventingReadiness.isEmpty)
    // Another file in its place is not the one in use.
    if path.hasSuffix("lock") || path.hasSuffix("lock.mdb") {
      try Data().write(to: URL(fileURLWithPath: place))
      store.lookAfter()
      #expect(isDisplaced { try corpus.insert(new) })
      try FileManager.default.removeItem(atPath: place)
    }
    try FileManager.default.moveItem(atPath: "\(directory.path)/elsewhere", toPath: place)
    store.lookAfter()
    #expect(store.conditions.current.isEmpty)
    #expect(try corpus.insert(new).inserted == 1)
    #expect(store.close().isEmpty)
    let again = try Store(path: "\(directory.path)/s", options: .tiny())
    #expect(try again.corpus(named: "c")?.stats().sequences == 2)
    again.close()
  }

  /// Dropping and restoring rename directories themselves.
  @Test func directoriesRenamedByTheStoreAreInPlace() throws {
    let (store, corpus) = try open()
    _ = try store.createSnapshot(ofCorpus: "c", named: "x")
    try store.restore(.named("x"), into: "c", replacing: true)
    try store.restore(.named("x"), into: "d")
    store.lookAfter()
    #expect(try corpus.insert(new).inserted == 1)
    #expect(try store.dropCorpus(named: "d"))
    store.lookAfter()
    #expect(store.conditions.current.isEmpty)
    #expect(store.close().isEmpty)
  }
}
