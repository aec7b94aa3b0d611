import Concurrency
import Foundation
import HistoryEngine
import RepriseModel
import StoreErrors
import TestSupport
import Testing

@testable import CorpusStore

/// The kept history follows the rule of `Retention`, whenever segments are sealed and merged.
@Suite struct RetentionTests {
  /// The rule, applied to a list.
  private struct Model {
    var retention: Retention
    var kept: [(order: Int, tokens: [Int32])] = []
    var next = 0

    mutating func insert(_ sequences: [[Int32]]) {
      func isWithin(_ slack: Int) -> Bool {
        let tokens = (kept.map(\.tokens) + sequences).reduce(0) { $0 + $1.count }
        let count = kept.count + sequences.count
        return tokens <= (retention.tokens.map { $0 + $0 / 8 * slack } ?? .max)
          && count <= (retention.sequences.map { $0 + $0 / 8 * slack } ?? .max)
      }
      if !isWithin(1) {
        while !isWithin(0) { kept.removeFirst() }
      }
      for tokens in sequences {
        kept.append((next, tokens))
        next += 1
      }
    }
  }

  private static func contents(_ corpus: Corpus) throws -> [Int: [Int32]] {
    var contents: [Int: [Int32]] = [:]
    try corpus.forEachSequence { sequence in
      contents[Int(sequence.order)] = sequence.text
      return true
    }
    return contents
  }

  @Test(arguments: [false, true]) func keptSequencesFollowTheRule(background: Bool) throws {
    for seed in Effort.seeds(6) {
      var generator = SeededGenerator(seed: seed)
      let directory = TemporaryDirectory()
      var options = StoreOptions.tiny(
        sealTokens: Int.random(in: 16...80, using: &generator), background: background)
      options.mergeFanIn = Int.random(in: 2...3, using: &generator)
      var retention = Retention()
      // 512 and 64, so that an eighth is whole.
      if seed % 3 != 1 { retention.tokens = 512 }
      if seed % 3 != 0 { retention.sequences = 64 }
      let leadIn = Int.random(in: 0...8, using: &generator)
      let settings = CorpusSettings(depth: 6, retention: retention, leadIn: leadIn)
      var store = try Store(path: directory.path, options: options)
      var corpus = try store.createCorpus(named: "c", settings)
      var model = Model(retention: retention)
      var inserted = 0
      while inserted < 10 * 512 {
        let sequences = (0..<Int.random(in: 1...3, using: &generator)).map { _ in
          NewSequence(
            prompt: generator.tokens(
              count: Int.random(in: 0...12, using: &generator), alphabet: 12),
            tokens: generator.tokens(count: Int.random(in: 1...30, using: &generator), alphabet: 12)
          )
        }
        try corpus.insert(sequences)
        let texts = sequences.map { Array($0.prompt.suffix(leadIn)) + $0.tokens }
        model.insert(texts)
        inserted += texts.reduce(0) { $0 + $1.count }
        let stats = corpus.stats()
        #expect(stats.tokens == model.kept.reduce(0) { $0 + $1.tokens.count }, "seed \(seed)")
        #expect(stats.sequences == model.kept.count, "seed \(seed)")
        if !background, Int.random(in: 0..<8, using: &generator) == 0 { try corpus.compact() }
        if Int.random(in: 0..<60, using: &generator) == 0 {
          store.close()
          store = try Store(path: directory.path, options: options)
          corpus = try #require(try store.corpus(named: "c"))
        }
      }
      let expected = Dictionary(uniqueKeysWithValues: model.kept.map { ($0.order, $0.tokens) })
      #expect(try Self.contents(corpus) == expected, "seed \(seed)")
      let oracle = NGramOracle(depth: 6, sequences: model.kept.map(\.tokens))
      var (scratch, draft) = (DraftScratch(), Draft())
      for _ in 0..<50 {
        let context = generator.tokens(count: 5, alphabet: 12)
        try corpus.speculate(context.span, DraftOptions(), using: &scratch, into: &draft)
        let naive = NaiveDrafter().draft(from: oracle, context: context)
        #expect(draft.tokens == naive.tokens && draft.counts == naive.counts, "seed \(seed)")
      }
      store.close()
      let report = try StoreInspection.check(path: directory.path, deep: true)
      #expect(report.isClean, "seed \(seed): \(report)")
    }
  }

  @Test func idsOfWhatHasLeftAreFreeAndMoreThanTheBoundIsRefused() throws {
    let directory = TemporaryDirectory()
    let store = try Store(path: directory.path, options: .tiny())
    defer { store.close() }
    let corpus = try store.createCorpus(
      named: "c", CorpusSettings(retention: Retention(tokens: 64)))
    for number in 0..<20 {
      try corpus.insert([NewSequence(id: "\(number)", tokens: [Int32](repeating: 7, count: 10))])
      if number % 3 == 0 { try corpus.compact() }
    }
    let again = [NewSequence(id: "0", tokens: [1, 2]), NewSequence(id: "19", tokens: [9])]
    #expect(throws: StoreError.conflict(id: "19")) { try corpus.insert(again) }
    #expect(try corpus.insert([again[0]]).inserted == 1)
    #expect(
      throws: StoreError.exceedsRetention(bound: .tokens, max: 64, got: 65)
    ) { try corpus.insert([NewSequence(tokens: [Int32](repeating: 1, count: 65))]) }
    #expect(
      try corpus.insert([NewSequence(tokens: [Int32](repeating: 1, count: 64))]).inserted == 1)
    #expect(corpus.stats().tokens == 64)
  }

  /// An output that is longer than all that is kept leaves with its session, without an error.
  @Test func anOutputThatIsLongerThanTheBoundLeavesAtOnce() throws {
    let directory = TemporaryDirectory()
    let store = try Store(path: directory.path, options: .tiny())
    defer { store.close() }
    let corpus = try store.createCorpus(
      named: "c", CorpusSettings(retention: Retention(tokens: 64)))
    let session = corpus.openSession(prompt: [1])
    var (scratch, draft) = (DraftScratch(), Draft())
    try session.step(
      accepting: [Int32](0..<65).span, DraftOptions(), using: &scratch, into: &draft)
    let answer = Promise<Result<RecordReceipt, StoreError>>()
    session.close(record: true) { answer.fulfil($0) }
    #expect(try answer.wait().get().recordedTokens == 0)
    let stats = corpus.stats()
    #expect(stats.tokens == 0 && stats.openTokens == 0)
  }

  /// What went wrong: after making room had failed once, because the disk was full, a bounded
  /// corpus refused everything permanently. The failure is reported once now, and the next call
  /// tries again.
  @Test func aFailureToMakeRoomIsToldOnce() throws {
    let directory = TemporaryDirectory()
    let store = try Store(path: directory.path, options: .tiny())
    defer { store.close() }
    let corpus = try store.createCorpus(
      named: "c", CorpusSettings(retention: Retention(tokens: 64)))
    let large = [NewSequence(tokens: [Int32](repeating: 1, count: 60))]
    try corpus.insert(large)
    let failure = StoreError.mapFull(usedBytes: 1, mapBytes: 1)
    corpus.compaction.retention.didMakeRoom(failure: failure)
    #expect(throws: failure) { try corpus.insert(large) }
    #expect(try corpus.insert(large).inserted == 1)
    #expect(corpus.stats().tokens == 60)
  }

  /// A corpus that keeps an hour, with eight sequences in a segment and one in the log.
  private func agingCorpus(_ store: Store) throws -> Corpus {
    let corpus = try store.createCorpus(
      named: "c", CorpusSettings(retention: Retention(ageSeconds: 3600)))
    for number in 0..<8 {
      try corpus.insert([NewSequence(id: "\(number)", tokens: [Int32(number), 5, 6])])
    }
    try corpus.compact()
    try corpus.insert([NewSequence(tokens: [77, 5, 6])])
    return corpus
  }

  private func keepWithinBounds(_ corpus: Corpus) throws -> Bool {
    try corpus.compaction.retention.keepWithinBounds()
  }

  private func store(_ directory: TemporaryDirectory, _ time: TestClock) throws -> Store {
    var options = StoreOptions.tiny()
    options.clock = time.clock
    return try Store(path: directory.path, options: options)
  }

  @Test func theOldestLeaveByAge() throws {
    let directory = TemporaryDirectory()
    let time = TestClock()
    let store = try store(directory, time)
    defer { store.close() }
    let corpus = try agingCorpus(store)
    time.advance(.seconds(3600))
    #expect(try !keepWithinBounds(corpus))
    #expect(corpus.stats().sequences == 9)
    time.advance(.seconds(3600 / 8))
    #expect(try keepWithinBounds(corpus))
    #expect(corpus.stats().sequences == 0)
  }

  /// While the corpus is open, the wall clock does not count: steps of it, forward and back,
  /// neither make a sequence leave early nor keep it.
  @Test(arguments: [-86_400 * 365, -7200, -3, 3, 7200, 86_400 * 365])
  func aStepOfTheWallClockChangesNoAge(seconds: Int) throws {
    let directory = TemporaryDirectory()
    let time = TestClock()
    let store = try store(directory, time)
    defer { store.close() }
    let corpus = try agingCorpus(store)
    time.advance(.seconds(1000))
    time.stepWall(seconds: seconds)
    #expect(try !keepWithinBounds(corpus))
    // Stamped by the clock that was stepped, twice.
    try corpus.insert([NewSequence(id: "later", tokens: [78, 5, 6])])
    time.advance(.seconds(500))
    time.stepWall(seconds: 2 * seconds)
    try corpus.insert([NewSequence(id: "last", tokens: [79, 5, 6])])
    try corpus.compact()
    time.advance(.seconds(2099))
    #expect(try !keepWithinBounds(corpus))
    #expect(corpus.stats().sequences == 11, "after 3599 s")
    time.advance(.seconds(120))
    #expect(try keepWithinBounds(corpus))
    #expect(corpus.stats().sequences == 2, "nine of them are older than an hour")
    time.advance(.seconds(1000))
    #expect(try keepWithinBounds(corpus))
    #expect(corpus.stats().sequences == 1)
    time.advance(.seconds(500))
    #expect(try keepWithinBounds(corpus))
    #expect(corpus.stats().sequences == 0)
  }

  /// A store that is opened with a clock behind its own stamps keeps its sequences for the bounded
  /// time from then on, and not forever.
  @Test func stampsOfTheFutureCountFromTheOpening() throws {
    let directory = TemporaryDirectory()
    let time = TestClock()
    let before = try store(directory, time)
    _ = try agingCorpus(before)
    before.close()
    time.stepWall(seconds: -86_400)
    let store = try store(directory, time)
    defer { store.close() }
    let corpus = try #require(try store.corpus(named: "c"))
    time.advance(.seconds(3600))
    #expect(try !keepWithinBounds(corpus))
    time.advance(.seconds(200))
    #expect(try keepWithinBounds(corpus))
    #expect(corpus.stats().sequences == 0)
  }
}
