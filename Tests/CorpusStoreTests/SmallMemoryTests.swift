import CorpusFormat
import Foundation
import HistoryEngine
import RepriseModel
import StoreErrors
import Synchronization
import TestSupport
import Testing

@testable import CorpusStore

/// A store with little memory does everything that one with much does, in smaller pieces or later.
@Suite struct SmallMemoryTests {
  private static let depth = 8

  /// A memory use that a test sets, instead of the process's.
  private final class Measured: Sendable {
    let bytes = Atomic(0)
    func budget(_ limit: Int) -> MemoryBudget {
      MemoryBudget(limit: limit) { [self] in bytes.load(ordering: .relaxed) }
    }
  }

  private struct Fixture {
    let directory = TemporaryDirectory()
    var generator = SeededGenerator(seed: 11)
    var oracle = NGramOracle(depth: depth)
    var inserted: [NewSequence] = []

    func open(
      _ memory: MemoryBudget = MemoryBudget(), sealTokens: Int = 1024,
      clock: StoreClock = .system
    ) throws -> (Store, Corpus) {
      var options = StoreOptions.tiny(sealTokens: sealTokens)
      options.memory = memory
      options.clock = clock
      let store = try Store(path: directory.path, options: options)
      return (store, try store.createCorpus(named: "c", CorpusSettings(depth: depth)))
    }

    mutating func insert(_ count: Int, into corpus: Corpus, tokens: Int = 50) throws {
      for _ in 0..<count {
        let sequence = NewSequence(
          id: "\(inserted.count)", tokens: generator.tokens(count: tokens, alphabet: 30))
        try corpus.insert([sequence])
        inserted.append(sequence)
        oracle.add(sequence.tokens)
      }
    }

    mutating func expectDraftsOfTheOracle(_ corpus: Corpus) throws {
      var scratch = DraftScratch()
      var draft = Draft()
      for _ in 0..<40 {
        let context = generator.tokens(count: 6, alphabet: 30)
        let expected = NaiveDrafter().draft(from: oracle, context: context)
        let options = DraftOptions(
          maxTokens: NaiveDrafter().maxTokens, maxFactor: NaiveDrafter().maxFactor,
          minProbability: NaiveDrafter().minProbability, tree: NaiveDrafter().tree)
        try corpus.speculate(context.span, options, using: &scratch, into: &draft)
        #expect(draft.tokens == expected.tokens && draft.counts == expected.counts)
      }
    }
  }

  /// Merging waits for memory, inserts do not wait for it, and it continues when memory is free.
  @Test func mergingWaitsForMemory() throws {
    var fixture = Fixture()
    let measured = Measured()
    let time = TestClock()
    let (store, corpus) = try fixture.open(measured.budget(64 << 20), clock: time.clock)
    // Inserts have two MiB left, merging has nothing.
    measured.bytes.store(58 << 20, ordering: .relaxed)
    for _ in 0..<4 {
      try fixture.insert(24, into: corpus)
      corpus.parts.begin(evenIfEmpty: false)
      #expect(try corpus.compaction.compactOnce(.sealing), "sealing never waits")
    }
    #expect(try !corpus.compaction.compactOnce(.merging))
    let metrics = corpus.metrics()
    var stats = metrics.statistics
    #expect(stats.segments == 4 && stats.segmentsWaiting >= 2 && metrics.mergeBytes > 0)
    #expect(
      metrics.activity.mergesDeferred == 1
        && !corpus.compaction.progress.isBehind(of: corpus.history))
    let wait = try #require(corpus.compaction.mergingWait)
    #expect(wait.sentence.contains("\(metrics.mergeBytes) bytes"))
    // However often it is tried in vain, the wait began at the first try.
    time.advance(.seconds(7))
    #expect(try !corpus.compaction.compactOnce(.merging))
    #expect(corpus.compaction.mergingWait?.since == wait.since)
    #expect(wait.since == time.clock.now() - .seconds(7))
    measured.bytes.store(0, ordering: .relaxed)
    store.memory.refresh()
    #expect(try corpus.compaction.compactOnce(.merging))
    while try corpus.compaction.compactOnce(.merging) {}
    stats = corpus.stats()
    #expect(stats.segments < 4 && stats.segmentsWaiting == 0)
    #expect(corpus.compaction.mergingWait == nil)
    try fixture.expectDraftsOfTheOracle(corpus)
    store.close()
  }

  /// A merge that is under way is abandoned for sessions, and done when they have what they need.
  /// However often that happens, the next one is not expected to need more memory.
  @Test func mergingGivesWayToSessions() throws {
    var fixture = Fixture()
    let measured = Measured()
    let (store, corpus) = try fixture.open(measured.budget(64 << 20))
    for _ in 0..<4 {
      try fixture.insert(24, into: corpus)
      corpus.parts.begin(evenIfEmpty: false)
      #expect(try corpus.compaction.compactOnce(.sealing))
    }
    for times in 1...20 {
      let other = try #require(store.memory.reserve(1 << 20, for: .merging))
      measured.bytes.store((60 << 20) - (1 << 19), ordering: .relaxed)
      store.memory.refresh()
      #expect(store.memory.reserve(1, for: .sessions) == nil && other.mustYield)
      measured.bytes.store(0, ordering: .relaxed)
      store.memory.refresh()
      #expect(try !corpus.compaction.compactOnce(.merging))
      #expect(corpus.metrics().activity.mergesDeferred == times)
      withExtendedLifetime(other) {}
    }
    #expect(corpus.compaction.progress.mergeBytesScale == 1)
    #expect(try corpus.compaction.compactOnce(.merging))
    try fixture.expectDraftsOfTheOracle(corpus)
    store.close()
  }

  /// A log that was written with plenty of memory is sealed, one part at a time, where memory is
  /// short.
  @Test func aLogThatDoesNotFitIsSealedAtOpen() throws {
    var fixture = Fixture()
    var (store, corpus) = try fixture.open(sealTokens: 100_000)
    try fixture.insert(200, into: corpus)
    #expect(corpus.stats().segments == 0)
    store.close()
    // 10,000 tokens take 800 kB, and parts have 468 tokens at most.
    let memory = Measured().budget(600_000)
    (store, corpus) = try fixture.open(memory, sealTokens: 100_000)
    let stats = corpus.stats()
    #expect(stats.segments > 1 && stats.sequences == 200 && stats.tokens == 10_000)
    try fixture.expectDraftsOfTheOracle(corpus)
    #expect(try corpus.insert([fixture.inserted[3]]).duplicates == 1)
    store.close()
    // Nothing remains in the log, and nothing is there twice.
    (store, corpus) = try fixture.open()
    #expect(corpus.stats().sequences == 200 && corpus.stats().segments == stats.segments)
    try fixture.expectDraftsOfTheOracle(corpus)
    store.close()
  }

  /// A large segment is rewritten as several, and so are sequences merged from another corpus, and
  /// a damaged segment.
  @Test func largeSegmentsAreWrittenInPieces() throws {
    var fixture = Fixture()
    var (store, corpus) = try fixture.open(sealTokens: 100_000)
    try fixture.insert(400, into: corpus)
    try corpus.compact()
    #expect(corpus.stats().segments == 1)
    store.close()
    // The smallest piece: 8,192 tokens.
    let memory = Measured().budget(1 << 20)
    (store, corpus) = try fixture.open(memory, sealTokens: 100_000)
    #expect(try corpus.forget(ids: ["7"]).forgotten == 1)
    fixture.oracle.remove(fixture.inserted[7].tokens)
    #expect(corpus.stats().segments == 3 && corpus.stats().sequences == 399)
    try fixture.expectDraftsOfTheOracle(corpus)
    let copy = try store.createCorpus(named: "copy", CorpusSettings(depth: Self.depth))
    #expect(try store.mergeCorpus(from: "c", into: "copy").sequences == 399)
    #expect(copy.stats().segments == 3)
    try fixture.expectDraftsOfTheOracle(copy)
    _ = try store.createSnapshot(ofCorpus: "c", named: "s")
    let restored = try store.restore(.named("s"), into: "restored")
    #expect(restored.stats().sequences == 399)
    try fixture.expectDraftsOfTheOracle(restored)
    #expect(memory.usage.reserved.allSatisfy { $0 == 0 })
    store.close()
  }

  /// Building a segment that turns out to need more memory than is available is cancelled, and the
  /// next merge estimates more.
  @Test func buildingThatNeedsMoreThanThereIsIsGivenUp() throws {
    let measured = Measured()
    let memory = measured.budget(64 << 20)
    func build() throws -> BuiltSegment {
      var builder = SegmentBuilder(depth: Self.depth, expected: HistorySize())
      builder.append(
        [1, 2, 3].span,
        SequenceTable.Entry(
          order: 0, committedSeconds: 0, digest: 0, outputDigest: 0, tokens: 3, id: nil))
      let reservation = try #require(memory.reserve(1, for: .merging))
      return try builder.build(reservation, isCancelled: { false })
    }
    let built = try build()
    #expect(memory.usage.reserved.reduce(0, +) > 1, "it is asked for what it takes")
    withExtendedLifetime(built) {}
    measured.bytes.store(48 << 20, ordering: .relaxed)
    memory.refresh()
    // Beside 16 MB reserved for others there is nothing left.
    let others = memory.reserve(16 << 20, for: .sealing, isUrgent: true)
    var error: StoreError?
    do throws(StoreError) {
      let reservation = memory.reserve(0, for: .merging, isUrgent: true)!
      var builder = SegmentBuilder(depth: Self.depth, expected: HistorySize())
      builder.append(
        [1, 2, 3].span,
        SequenceTable.Entry(
          order: 0, committedSeconds: 0, digest: 0, outputDigest: 0, tokens: 3, id: nil))
      _ = try builder.build(reservation, isCancelled: { false })
    } catch let failure {
      error = failure
    }
    guard case .memoryShort(let bytes)? = error else {
      Issue.record("\(String(describing: error))")
      return
    }
    #expect(bytes > 0)
    withExtendedLifetime(others) {}

    var fixture = Fixture()
    let (store, corpus) = try fixture.open(sealTokens: 100_000)
    for _ in 0..<2 {
      try fixture.insert(50, into: corpus)
      corpus.parts.begin(evenIfEmpty: false)
      #expect(try corpus.compaction.compactOnce(.sealing))
    }
    func foreseen() throws -> Int {
      let segments = try corpus.stored.view().segments.map(\.candidate)
      guard
        case .merge(let run) = corpus.compaction.merger.policy.choose(segments, fits: { _ in true })
      else {
        return 0
      }
      return run.bytes
    }
    let before = try foreseen()
    corpus.compaction.merger.noteNeeded(before * 2)
    let after = try foreseen()
    #expect(before > 0 && after > before && corpus.metrics().mergeBytes == before * 2)
    store.close()
  }

  /// Growing indexes are sealed before they are full if memory is short, the largest first.
  @Test func growingIndexesAreSealedWhereMemoryIsShort() throws {
    var fixture = Fixture()
    let measured = Measured()
    let (store, corpus) = try fixture.open(measured.budget(64 << 20), sealTokens: 100_000)
    // More than a MiB.
    try fixture.insert(20, into: corpus, tokens: 1000)
    store.relieveMemory()
    try corpus.writer.waitForJobs()
    #expect(try !corpus.compaction.compactOnce(.sealing), "there is memory")
    measured.bytes.store(60 << 20, ordering: .relaxed)
    store.memory.refresh()
    store.relieveMemory()
    try corpus.writer.waitForJobs()
    #expect(try corpus.compaction.compactOnce(.sealing))
    #expect(corpus.stats().segments == 1)
    try fixture.expectDraftsOfTheOracle(corpus)
    store.close()
  }

  @Test func insertsAreRefusedBeyondMemoryAndNothingIsLost() throws {
    var fixture = Fixture()
    let measured = Measured()
    let (store, corpus) = try fixture.open(measured.budget(1 << 20))
    try fixture.insert(3, into: corpus)
    measured.bytes.store(1 << 20, ordering: .relaxed)
    store.memory.refresh()
    #expect(throws: StoreError.busy(retryAfterMillis: 100)) {
      try corpus.insert([NewSequence(tokens: [1])])
    }
    measured.bytes.store(0, ordering: .relaxed)
    store.memory.refresh()
    try fixture.insert(3, into: corpus)
    #expect(corpus.stats().sequences == 6)
    store.close()
  }
}
