import Concurrency
import Foundation
import HistoryEngine
import RepriseModel
import StoreErrors
import Testing

@testable import CorpusStore

/// Token ids of a corpus with a vocabulary are below it: inserts, outputs and drafts are checked.
@Suite struct VocabularyTests {
  private static let bounded = CorpusSettings(depth: 8, vocabulary: 100)

  private func draft(
    _ session: DecodingSession, _ tokens: [Int32], _ options: DraftOptions = DraftOptions()
  ) throws(StoreError) -> [Int32] {
    var (scratch, draft) = (DraftScratch(), Draft())
    try session.step(accepting: tokens.span, options, using: &scratch, into: &draft)
    return draft.tokens
  }

  private func draft(_ corpus: Corpus, _ context: [Int32]) throws -> [Int32] {
    var (scratch, draft) = (DraftScratch(), Draft())
    try corpus.speculate(context.span, DraftOptions(), using: &scratch, into: &draft)
    return draft.tokens
  }

  @Test func itIsKeptForLife() throws {
    let (directory, other) = (TemporaryDirectory(), TemporaryDirectory())
    var store = try Store(path: directory.path, options: .tiny())
    _ = try store.createCorpus(named: "c", Self.bounded)
    _ = try store.createCorpus(named: "c", Self.bounded)
    #expect(throws: StoreError.self) {
      try store.createCorpus(named: "c", CorpusSettings(depth: 8, vocabulary: 101))
    }
    #expect(
      throws: StoreError.corpusExists(
        name: "c", differences: [.vocabulary(has: 100, asked: nil)])
    ) { try store.createCorpus(named: "c", CorpusSettings(depth: 8)) }
    for wrong in [0, -1, Int(Int32.max) + 1] {
      #expect(throws: StoreError.self) {
        try store.createCorpus(named: "w", CorpusSettings(vocabulary: wrong))
      }
    }
    store.close()
    store = try Store(path: directory.path, options: .tiny())
    let corpus = try #require(try store.corpus(named: "c"))
    #expect(corpus.settings == Self.bounded)
    try corpus.insert([NewSequence(tokens: [1, 2, 99])])
    _ = try store.createSnapshot(ofCorpus: "c", named: "s")
    let elsewhere = try Store(path: other.path, options: .tiny())
    let restored = try elsewhere.restore(
      .file(path: "\(directory.path)/snapshots/s.snapshot"), into: "r")
    #expect(restored.settings == Self.bounded)
    elsewhere.close()
    store.close()
  }

  @Test func tokensBeyondTheVocabularyAreRefusedWithTheirPlace() throws {
    let directory = TemporaryDirectory()
    let store = try Store(path: directory.path, options: .tiny())
    let corpus = try store.createCorpus(named: "c", Self.bounded)
    #expect(
      throws: StoreError.beyondVocabulary(token: 100, vocabulary: 100, sequence: 1, position: 2)
    ) {
      try corpus.insert([
        NewSequence(id: "a", tokens: [1, 2, 3]), NewSequence(tokens: [4, 5, 100]),
      ])
    }
    // All or nothing.
    #expect(corpus.stats().sequences == 0)
    // A prompt may contain any token: it joins no history.
    let session = corpus.openSession(prompt: [500, 1, 2])
    #expect(try draft(session, [7]) == [])
    #expect(
      throws: StoreError.beyondVocabulary(token: 300, vocabulary: 100, sequence: nil, position: 1)
    ) { try self.draft(session, [8, 300]) }
    #expect(session.outputTokens == 1)
    #expect(try draft(session, [8]) == [])
    let closed = Promise<Result<RecordReceipt, StoreError>>()
    session.close(record: true) { closed.fulfil($0) }
    #expect(try closed.wait().get().recordedTokens == 2)
    #expect(try draft(corpus, [7]) == [8])
    store.close()
  }

  @Test func theLeastBoundHolds() throws {
    let directory = TemporaryDirectory()
    let store = try Store(path: directory.path, options: .tiny())
    let corpus = try store.createCorpus(named: "c", CorpusSettings(depth: 8))
    try corpus.insert([NewSequence(tokens: [1, 2, 3, 50, 4])])
    // The session's vocabulary, that of its request, and the prompt's text, which is drafted from
    // as well.
    let wide = corpus.openSession(prompt: [])
    #expect(try draft(wide, [1, 2]) == [3, 50])
    #expect(try draft(wide, [], DraftOptions(vocabulary: 50)) == [3])
    let narrow = corpus.openSession(prompt: [7, 8, 60, 7, 8], vocabulary: 50)
    #expect(try draft(narrow, []) == [])
    #expect(try draft(narrow, [1, 2]) == [3])
    #expect(try draft(narrow, [], DraftOptions(vocabulary: 3)) == [])
    // The corpus's own vocabulary.
    let bounded = try store.createCorpus(named: "b", CorpusSettings(depth: 8, vocabulary: 60))
    try bounded.insert([NewSequence(tokens: [1, 2, 3, 50, 4])])
    let local = bounded.openSession(prompt: [7, 8, 60, 7, 8], vocabulary: 1000)
    #expect(try draft(local, []) == [])
    #expect(try draft(local, [1, 2]) == [3, 50])
    store.close()
  }

  @Test func historiesWithLargerVocabulariesStayApart() throws {
    let directory = TemporaryDirectory()
    let store = try Store(path: directory.path, options: .tiny())
    let vocabularies: [(CorpusName, Int?)] = [("none", nil), ("small", 100), ("large", 200)]
    for (name, vocabulary) in vocabularies {
      let corpus = try store.createCorpus(
        named: name, CorpusSettings(depth: 8, vocabulary: vocabulary))
      try corpus.insert([NewSequence(id: name.text, tokens: [1, 2, 3])])
      _ = try store.createSnapshot(ofCorpus: name, named: name.text)
    }
    let pairs: [(CorpusName, CorpusName)] = [
      ("none", "small"), ("large", "small"), ("none", "large"),
    ]
    for (from, into) in pairs {
      #expect(throws: StoreError.self, "\(from), \(into)") {
        try store.mergeCorpus(from: from, into: into)
      }
      #expect(throws: StoreError.self, "\(from), \(into)") {
        try store.restore(.named(from.text), into: into, replacing: true)
      }
    }
    #expect(try store.mergeCorpus(from: "small", into: "large").sequences == 1)
    #expect(try store.mergeCorpus(from: "large", into: "none").sequences == 2)
    let replaced = try store.restore(.named("small"), into: "large", replacing: true)
    #expect(replaced.settings.vocabulary == 200)
    store.close()
  }

  /// Each close gives the reason why nothing was recorded.
  @Test func closingTellsWhyNothingIsRecorded() throws {
    let directory = TemporaryDirectory()
    let store = try Store(path: directory.path, options: .tiny())
    let corpus = try store.createCorpus(
      named: "c", CorpusSettings(depth: 8, retention: Retention(tokens: 65)))
    func close(
      _ tokens: Int, share: SharePolicy = .live, record: Bool = true
    ) throws -> RecordReceipt {
      let session = corpus.openSession(prompt: [1], share: share)
      _ = try draft(session, (0..<tokens).map { Int32($0 % 9) })
      let closed = Promise<Result<RecordReceipt, StoreError>>()
      session.close(record: record) { closed.fulfil($0) }
      return try closed.wait().get()
    }
    #expect(try close(64).unrecordedReason == nil)
    #expect(try close(65) == RecordReceipt(unrecordedReason: .retention))
    #expect(corpus.metrics().activity.outputsBeyondRetention == 1)
    #expect(try close(3, record: false).unrecordedReason == .notWanted)
    #expect(try close(3, share: .never).unrecordedReason == .notShared)
    #expect(try close(0).unrecordedReason == .empty)
    #expect(try close(3, share: .close).recordedTokens == 3)
    #expect(corpus.metrics().activity.outputsBeyondRetention == 1)
    try corpus.insert([NewSequence(tokens: [1, 2, 3])])
    let info = try store.createSnapshot(ofCorpus: "c", named: "s")
    store.close()
    let served = try Store(snapshot: "\(directory.path)/snapshots/\(info.name).snapshot")
    let reading = try #require(try served.corpus(named: "c"))
    let session = reading.openSession(prompt: [1])
    _ = try draft(session, [2])
    let closed = Promise<Result<RecordReceipt, StoreError>>()
    session.close(record: true) { closed.fulfil($0) }
    #expect(try closed.wait().get().unrecordedReason == .readOnly)
    served.close()
  }
}
