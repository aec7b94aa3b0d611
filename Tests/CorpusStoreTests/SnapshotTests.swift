import Concurrency
import Foundation
import HistoryEngine
import RepriseModel
import StoreErrors
import TestSupport
import Testing

@testable import CorpusStore

@Suite struct SnapshotTests {
  private func fill(_ corpus: Corpus, _ generator: inout SeededGenerator, sequences: Int) throws {
    for number in 0..<sequences {
      let tokens = generator.tokens(count: Int.random(in: 1...30, using: &generator), alphabet: 15)
      let id = "\(corpus.stats().sequences)-\(number)"
      try corpus.insert([NewSequence(id: number % 2 == 0 ? nil : id, tokens: tokens)])
    }
  }

  private func drafts(_ corpus: Corpus, seed: UInt64) throws -> [Draft] {
    var generator = SeededGenerator(seed: seed)
    var scratch = DraftScratch()
    return try (0..<100).map { number in
      let context = generator.tokens(count: 6, alphabet: 15)
      var draft = Draft()
      try corpus.speculate(
        context.span, DraftOptions(tree: number % 2 == 0), using: &scratch, into: &draft)
      return draft
    }
  }

  @Test func aRestoredCorpusDraftsAsTheOriginalDidThen() throws {
    for seed in Effort.seeds(8) {
      var generator = SeededGenerator(seed: seed)
      let (directory, other) = (TemporaryDirectory(), TemporaryDirectory())
      let store = try Store(
        path: directory.path, options: .tiny(background: seed % 2 == 0))
      let settings = CorpusSettings(
        depth: 7, tokenizer: "t", retention: Retention(tokens: 100_000),
        durability: seed % 3 == 0 ? .interval(millis: 60_000) : .commit)
      let corpus = try store.createCorpus(named: "c", settings)
      try fill(corpus, &generator, sequences: 60)
      if seed % 4 == 1 { try corpus.compact() }
      let before = try drafts(corpus, seed: seed)
      let stats = corpus.stats()
      let info = try store.createSnapshot(ofCorpus: "c", named: "s")
      #expect(info.sequences == 60 && info.tokens == stats.tokens && info.corpus == "c")
      #expect(try store.snapshots() == [info])
      #expect(try store.verifySnapshot(.named("s")) == info)
      #expect(throws: StoreError.snapshotExists("s")) {
        try store.createSnapshot(ofCorpus: "c", named: "s")
      }
      try fill(corpus, &generator, sequences: 20)
      #expect(try drafts(corpus, seed: seed) != before)

      // On another host, under another name.
      let elsewhere = try Store(path: other.path, options: .tiny())
      let path = "\(directory.path)/snapshots/s.snapshot"
      let copy = try elsewhere.restore(.file(path: path), into: "copy")
      #expect(try drafts(copy, seed: seed) == before)
      #expect(copy.settings == settings && copy.stats().sequences == 60)
      try copy.insert([NewSequence(id: "new", tokens: [1, 2])])
      #expect(try copy.insert([NewSequence(id: "new", tokens: [1, 2])]).duplicates == 1)
      elsewhere.close()
      let again = try Store(path: other.path, options: .tiny())
      #expect(try again.corpus(named: "copy")?.stats().sequences == 61)
      again.close()

      // Served for reading.
      let served = try Store(snapshot: path)
      let reading = try #require(try served.corpus(named: "c"))
      #expect(try drafts(reading, seed: seed) == before)
      #expect(throws: StoreError.readOnly(corpus: "c")) {
        try reading.insert([NewSequence(tokens: [1])])
      }
      served.close()

      // In place, while a session continues.
      #expect(throws: StoreError.self) { try store.restore(.named("s"), into: "c") }
      let session = corpus.openSession(prompt: [1])
      var (scratch, draft) = (DraftScratch(), Draft())
      try session.step(
        accepting: [3, 9, 3].span, DraftOptions(), using: &scratch, into: &draft)
      let restored = try store.restore(.named("s"), into: "c", replacing: true)
      #expect(restored === corpus && corpus.stats().openTokens == 4)
      try session.step(
        accepting: [9, 4].span, DraftOptions(), using: &scratch, into: &draft)
      let answer = Promise<Result<RecordReceipt, StoreError>>()
      session.close(record: false) { answer.fulfil($0) }
      _ = try answer.wait().get()
      #expect(try drafts(corpus, seed: seed) == before)
      #expect(corpus.stats().tokens == info.tokens && corpus.stats().openTokens == 0)
      try corpus.insert([NewSequence(tokens: [5, 6])])
      store.close()
      let report = try StoreInspection.check(path: directory.path, deep: true)
      #expect(report.isClean && report.snapshots == [info], "\(report)")
      #expect(report.corpora.map(\.sequences) == [61])
    }
  }

  @Test func sessionsOverAReplacedCorpusRecordIntoTheNewOne() throws {
    let directory = TemporaryDirectory()
    let store = try Store(path: directory.path, options: .tiny())
    defer { store.close() }
    let corpus = try store.createCorpus(named: "c", CorpusSettings())
    try corpus.insert([NewSequence(tokens: [1, 2, 3])])
    _ = try store.createSnapshot(ofCorpus: "c", named: "s")
    let session = corpus.openSession(prompt: [8])
    var (scratch, draft) = (DraftScratch(), Draft())
    try session.step(accepting: [5, 6].span, DraftOptions(), using: &scratch, into: &draft)
    try store.restore(.named("s"), into: "c", replacing: true)
    try session.step(accepting: [7].span, DraftOptions(), using: &scratch, into: &draft)
    let answer = Promise<Result<RecordReceipt, StoreError>>()
    session.close(record: true) { answer.fulfil($0) }
    #expect(try answer.wait().get().recordedTokens == 3)
    try corpus.speculate([5, 6].span, DraftOptions(), using: &scratch, into: &draft)
    #expect(draft.tokens == [7] && corpus.stats().sequences == 2)
  }

  @Test func everyFlippedByteOfASnapshotIsRefused() throws {
    let directory = TemporaryDirectory()
    let store = try Store(path: directory.path, options: .tiny())
    defer { store.close() }
    let corpus = try store.createCorpus(named: "c", CorpusSettings())
    var generator = SeededGenerator(seed: 1)
    try fill(corpus, &generator, sequences: 10)
    try corpus.compact()
    _ = try store.createSnapshot(ofCorpus: "c", named: "s")
    let path = "\(directory.path)/snapshots/s.snapshot"
    let whole = try Data(contentsOf: URL(fileURLWithPath: path))
    // Many bytes of the manifest, and some of each page.
    let manifest = stride(from: whole.count - 4096, to: whole.count, by: 7)
    let places = Array(manifest) + stride(from: 0, to: whole.count, by: 997)
    for place in places {
      var bytes = whole
      bytes[place] ^= 0x04
      try bytes.write(to: URL(fileURLWithPath: path))
      #expect(throws: StoreError.self, "byte \(place)") { try store.verifySnapshot(.named("s")) }
    }
    for count in stride(from: 0, to: whole.count, by: 4096) {
      try whole.prefix(count).write(to: URL(fileURLWithPath: path))
      #expect(throws: StoreError.self, "\(count) bytes") { try store.verifySnapshot(.named("s")) }
      #expect(throws: StoreError.self) { try store.restore(.named("s"), into: "d") }
    }
    #expect(try store.corpus(named: "d") == nil)
    try whole.write(to: URL(fileURLWithPath: path))
    try store.restore(.named("s"), into: "d")
  }

  @Test func mergingTakesIDsThatStandInBothOnce() throws {
    let directory = TemporaryDirectory()
    let store = try Store(path: directory.path, options: .tiny())
    let a = try store.createCorpus(named: "a", CorpusSettings(depth: 4))
    let b = try store.createCorpus(named: "b", CorpusSettings(depth: 6))
    try a.insert([
      NewSequence(id: "same", tokens: [1, 2]), NewSequence(id: "other", tokens: [3, 4]),
      NewSequence(id: "new", tokens: [5, 6]), NewSequence(tokens: [7, 8]),
    ])
    try a.compact()
    try a.insert([NewSequence(tokens: [7, 9])])
    try b.insert([
      NewSequence(id: "same", tokens: [1, 2]), NewSequence(id: "other", tokens: [3, 3]),
    ])
    let receipt = try store.mergeCorpus(from: "a", into: "b")
    var expected = MergeReceipt()
    (expected.sequences, expected.tokens) = (3, 6)
    (expected.duplicates, expected.conflicts) = (1, 1)
    #expect(receipt == expected)
    var contents: [[Int32]] = []
    try b.forEachSequence { sequence in
      contents.append(sequence.text)
      return true
    }
    #expect(contents == [[1, 2], [3, 3], [5, 6], [7, 8], [7, 9]])
    // Inserting again changes nothing for sequences with ids; those without ids are added again.
    #expect(try store.mergeCorpus(from: "a", into: "b").sequences == 2)
    #expect(try b.insert([NewSequence(id: "new", tokens: [5, 6])]).duplicates == 1)
    store.close()
    #expect(try StoreInspection.check(path: directory.path, deep: true).isClean)
  }

  /// Sequences acknowledged with durability `interval` are in drafts at once and on disk within the
  /// window, also if nothing else happens; ids and conflicts are those of the whole history.
  @Test func unsavedSequencesAreHistory() throws {
    let directory = TemporaryDirectory()
    var store = try Store(path: directory.path, options: .tiny(sealTokens: 1000))
    var corpus = try store.createCorpus(
      named: "c", CorpusSettings(durability: .interval(millis: 60_000)))
    try corpus.insert([NewSequence(id: "a", tokens: [1, 2, 3])])
    #expect(corpus.stats().unsavedSequences == 1 && corpus.stats().sequences == 1)
    #expect(try corpus.insert([NewSequence(id: "a", tokens: [1, 2, 3])]).duplicates == 1)
    #expect(throws: StoreError.conflict(id: "a")) {
      try corpus.insert([NewSequence(id: "a", tokens: [4])])
    }
    var (scratch, draft) = (DraftScratch(), Draft())
    try corpus.speculate([1].span, DraftOptions(), using: &scratch, into: &draft)
    #expect(draft.tokens == [2])
    // Compaction saves unsaved sequences.
    try corpus.compact()
    #expect(corpus.stats().unsavedSequences == 0 && corpus.stats().segments == 1)
    try corpus.insert([NewSequence(id: "b", tokens: [4, 5])])
    store.close()
    store = try Store(path: directory.path, options: .tiny())
    corpus = try #require(try store.corpus(named: "c"))
    #expect(corpus.stats().sequences == 2)
    #expect(try corpus.insert([NewSequence(id: "b", tokens: [4, 5])]).duplicates == 1)
    store.close()
  }
}
