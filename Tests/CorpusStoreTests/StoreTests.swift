import Concurrency
import CorpusFormat
import Foundation
import HistoryEngine
import LMDB
import RepriseModel
import StoreErrors
import SuffixIndex
import TestSupport
import Testing

@testable import CorpusStore

@Suite struct StoreTests {
  private func store(
    _ directory: TemporaryDirectory, _ options: StoreOptions = .tiny()
  ) throws -> Store {
    try Store(path: directory.path, options: options)
  }

  private func draft(_ corpus: Corpus, _ context: [Int32]) throws -> [Int32] {
    var scratch = DraftScratch()
    var draft = Draft()
    try corpus.speculate(context.span, DraftOptions(), using: &scratch, into: &draft)
    return draft.tokens
  }

  // MARK: Inserting

  @Test func anIDIsTakenOnceAndConflictsLeaveNoTrace() throws {
    let directory = TemporaryDirectory()
    let store = try store(directory)
    let corpus = try store.createCorpus(named: "c", CorpusSettings())
    let first = try corpus.insert([
      NewSequence(id: "a", tokens: [1, 2, 3]), NewSequence(id: "a", tokens: [1, 2, 3]),
      NewSequence(tokens: [1, 2, 3]),
    ])
    #expect(first.inserted == 2 && first.duplicates == 1 && first.tokens == 6)
    #expect(first.lastOrder == 1)
    #expect(throws: StoreError.conflict(id: "a")) {
      try corpus.insert([
        NewSequence(id: "b", tokens: [7, 7]), NewSequence(id: "a", tokens: [9]),
      ])
    }
    #expect(corpus.stats().sequences == 2)
    #expect(try draft(corpus, [7]).isEmpty)
    // The id of the refused call is still free, also after sealing and a restart.
    try corpus.compact()
    store.close()
    let reopened = try self.store(directory)
    let again = try #require(try reopened.corpus(named: "c"))
    #expect(try again.insert([NewSequence(id: "b", tokens: [7, 8])]).lastOrder == 2)
    #expect(try again.insert([NewSequence(id: "a", tokens: [1, 2, 3])]).duplicates == 1)
    #expect(try draft(again, [5, 7]) == [8])
    reopened.close()
  }

  @Test func statsSurviveSealingMergingAndRestart() throws {
    let directory = TemporaryDirectory()
    var store = try store(directory)
    var corpus = try store.createCorpus(named: "c", CorpusSettings(depth: 8, tokenizer: "t"))
    for number in 0..<40 {
      try corpus.insert([NewSequence(id: "\(number)", tokens: [Int32](0..<20))])
      if number % 7 == 0 { try corpus.compact() }
    }
    try corpus.compact()
    let before = corpus.stats()
    #expect(before.sequences == 40 && before.tokens == 800)
    #expect((1...6).contains(before.segments), "merging keeps segments few")
    store.close()
    store = try self.store(directory)
    corpus = try #require(try store.corpus(named: "c"))
    let after = corpus.stats()
    #expect(after.sequences == 40 && after.tokens == 800 && after.segments == before.segments)
    #expect(after.oldestOrder == 0 && after.newestOrder == 39)
    #expect(corpus.settings == CorpusSettings(depth: 8, tokenizer: "t"))
    store.close()
  }

  /// What went wrong: the writer answered before its view had moved on, so that pages freed by a
  /// merge were often still in use when they should have been returned, and stayed on the disk
  /// until the next merge: 29 bytes a token instead of 16.
  @Test func pagesFreedByMergingAreReturnedAtOnce() throws {
    let directory = TemporaryDirectory()
    var options = StoreOptions.tiny(sealTokens: 10_000)
    options.mergeFanIn = 2
    let store = try store(directory, options)
    defer { store.close() }
    let corpus = try store.createCorpus(named: "c", CorpusSettings(depth: 8))
    var inserted = 0
    // The last step is a merge of all segments.
    while inserted < 4 || corpus.stats().segments > 1 {
      let tokens = (0..<10_000).map { Int32(($0 * (inserted + 7)) % 997) }
      try corpus.insert([NewSequence(tokens: tokens)])
      try corpus.compact()
      inserted += 1
    }
    let used = corpus.stats().bytesOnDisk
    try corpus.writer.waitForJobs()
    try corpus.stored.file.environment.releaseFreePages()
    let held = used - corpus.stats().bytesOnDisk
    #expect(held < 1 << 16, "\(held) of \(used) bytes were held still")
  }

  @Test func aFullMapIsAnErrorToItsCallerAndHarmsNothing() throws {
    let directory = TemporaryDirectory()
    var options = StoreOptions.tiny(sealTokens: 1 << 20)
    options.mapBytes = 1 << 20
    let small = try store(directory, options)
    var corpus = try small.createCorpus(named: "c", CorpusSettings())
    var acknowledged = 0
    var full: StoreError?
    while full == nil && acknowledged < 10_000 {
      let tokens = (0..<500).map { Int32(acknowledged * 500 + $0) }
      do throws(StoreError) {
        try corpus.insert([NewSequence(id: "\(acknowledged)", tokens: tokens)])
        acknowledged += 1
      } catch {
        full = error
      }
    }
    guard case .mapFull = full else {
      Issue.record("expected the map to fill up, got \(String(describing: full))")
      return
    }
    #expect(acknowledged > 10)
    #expect(try draft(corpus, [500, 501]).first == 502)
    // Sealing fails as well, and harms nothing.
    #expect(throws: StoreError.self) { try corpus.compact() }
    #expect(try draft(corpus, [500, 501]).first == 502)
    small.close()

    let larger = try store(directory, .tiny())
    corpus = try #require(try larger.corpus(named: "c"))
    #expect(corpus.stats().sequences == acknowledged)
    try corpus.compact()
    #expect(try draft(corpus, [500, 501]).first == 502)
    #expect(corpus.stats().segments >= 1)
    larger.close()
  }

  /// Keeps the writer busy, so that jobs enqueued in the meantime are committed together.
  private struct BusyJob: WriteJob, PreparedJob {
    let admission = Admission.change
    let begun = DispatchSemaphore(value: 0)
    let released = DispatchSemaphore(value: 0)

    var job: any WriteJob { self }
    func prepare(_ planning: inout WritePlanning) throws(WriteRefusal) -> any PreparedJob { self }
    func write(_ transaction: borrowing WriteTransaction, _ file: CorpusFile) throws(LMDBError) {
      begun.signal()
      released.wait()
    }
    func didAccept(_ context: WriterContext) {}
    func didFail(_ error: StoreError) {}
  }

  /// One group holds a conflict, an insert that is too large for the map, and two ordinary ones.
  @Test func jobsOfOneGroupFailAlone() throws {
    let directory = TemporaryDirectory()
    var options = StoreOptions.tiny(sealTokens: 1 << 22)
    options.mapBytes = 2 << 20
    let store = try store(directory, options)
    let corpus = try store.createCorpus(named: "c", CorpusSettings())
    try corpus.insert([NewSequence(id: "a", tokens: [1])])
    let busy = BusyJob()
    corpus.writer.write(busy)
    busy.begun.wait()
    let answers = Locked<[String: [Result<InsertReceipt, StoreError>]]>([:])
    let done = DispatchSemaphore(value: 0)
    func insert(_ name: String, _ sequence: NewSequence) {
      corpus.insert([sequence]) { result in
        answers.withLock { $0[name, default: []].append(result) }
        done.signal()
      }
    }
    insert("first", NewSequence(id: "b", tokens: [2]))
    insert("conflict", NewSequence(id: "a", tokens: [9]))
    insert("large", NewSequence(tokens: [Int32](repeating: 3, count: 1 << 19)))
    insert("last", NewSequence(id: "c", tokens: [4]))
    busy.released.signal()
    for _ in 0..<4 { done.wait() }
    store.close()
    let found = answers.withLock { $0 }
    #expect(found.values.allSatisfy { $0.count == 1 }, "each is answered once")
    #expect(try found["first"]?[0].get().lastOrder == 1)
    #expect(throws: StoreError.conflict(id: "a")) { try found["conflict"]![0].get() }
    #expect(try found["last"]?[0].get().lastOrder == 2)
    if case .failure(.mapFull) = found["large"]![0] {
    } else {
      Issue.record("expected no room, got \(found["large"]![0])")
    }
  }

  /// What went wrong: a session that was being closed waited behind inserts that waited for
  /// compaction, which waited for the session to leave its part. The store stood still. Jobs that
  /// end a session are no longer held back.
  @Test func closingASessionNeverWaitsForCompaction() throws {
    let directory = TemporaryDirectory()
    let store = try store(directory, .tiny(sealTokens: 16, background: true))
    let corpus = try store.createCorpus(named: "c", CorpusSettings(depth: 4))
    let busy = BusyJob()
    corpus.writer.write(busy)
    busy.begun.wait()
    // More parts than may wait, each with a session that is being closed.
    var scratch = DraftScratch()
    var draft = Draft()
    let done = DispatchSemaphore(value: 0)
    corpus.insert([NewSequence(tokens: [1])]) { _ in done.signal() }
    for _ in 0..<6 {
      let session = corpus.openSession(prompt: [])
      try session.step(
        accepting: [Int32](repeating: 7, count: 16).span, DraftOptions(), using: &scratch,
        into: &draft)
      session.close(record: true) { _ in done.signal() }
      corpus.parts.beginIfFull()
    }
    busy.released.signal()
    // The minute is for a store that stands still; a working one takes milliseconds.
    for _ in 0..<7 { try #require(done.wait(timeout: .now() + 60) == .success) }
    #expect(corpus.stats().sequences == 7)
    store.close()
  }

  // MARK: Corpora

  @Test func corporaAreFoundMadeAndDropped() throws {
    let directory = TemporaryDirectory()
    let store = try store(directory)
    let corpus = try store.createCorpus(named: "c", CorpusSettings())
    #expect(try store.createCorpus(named: "c", CorpusSettings()) === corpus)
    #expect(throws: StoreError.self) {
      try store.createCorpus(named: "c", CorpusSettings(depth: 9))
    }
    let longest = try #require(CorpusName(String(repeating: "x", count: 64)))
    _ = try store.createCorpus(named: longest, CorpusSettings())
    try corpus.insert([NewSequence(tokens: [1, 2, 3])])
    let session = corpus.openSession(prompt: [1])
    #expect(try store.dropCorpus(named: "c"))
    #expect(try !store.dropCorpus(named: "c"))
    #expect(try store.corpus(named: "c") == nil)
    var scratch = DraftScratch()
    var draft = Draft()
    #expect(throws: StoreError.closed(corpus: "c")) {
      try session.step(
        accepting: [Int32]().span, DraftOptions(), using: &scratch, into: &draft)
    }
    // Closing such a session is an error as well, and does not wait forever.
    let shared = try #require(try store.corpus(named: longest))
    let open = shared.openSession(prompt: [1])
    try open.step(accepting: [2].span, DraftOptions(), using: &scratch, into: &draft)
    #expect(try store.dropCorpus(named: shared.name))
    let closed = Locked<Result<RecordReceipt, StoreError>?>(nil)
    let done = DispatchSemaphore(value: 0)
    open.close(record: true) { result in
      closed.withLock { $0 = result }
      done.signal()
    }
    done.wait()
    #expect(throws: StoreError.self) { try closed.withLock { $0 }!.get() }
    // The name is free, and nothing of the old corpus is left.
    let new = try store.createCorpus(named: "c", CorpusSettings())
    #expect(new.stats().tokens == 0)
    store.close()
  }

  // MARK: Paths that are not stores

  @Test func otherDirectoriesAreRefusedAndUnchanged() throws {
    let directory = TemporaryDirectory()
    let path = directory.path
    let files = FileManager.default
    try files.createDirectory(atPath: path, withIntermediateDirectories: true)
    try Data("x".utf8).write(to: URL(fileURLWithPath: "\(path)/file"))
    #expect(throws: StoreError.notAStore(path: "\(path)/file", found: "a file")) {
      try Store(path: "\(path)/file")
    }
    #expect(
      throws: StoreError.notAStore(path: path, found: "\"file\" and no file \"format\"")
    ) { try Store(path: path) }
    #expect(try files.contentsOfDirectory(atPath: path) == ["file"])

    try Data("reprise store, format 2\n".utf8).write(to: URL(fileURLWithPath: "\(path)/format"))
    let expected = Int(CorpusFile.formatVersion)
    #expect(throws: StoreError.formatVersion(path: path, found: 2, expected: expected)) {
      try Store(path: path)
    }
    #expect(throws: StoreError.self) { try Store(path: "\(path)/missing/deeper") }
  }

  /// What went wrong: where the file could not be opened, because too many were open or the disk
  /// failed, the directory was said to be no store.
  @Test func aFormatFileThatCannotBeReadIsNotMissing() throws {
    let directory = TemporaryDirectory()
    try Store(path: directory.path).close()
    let file = "\(directory.path)/format"
    try FileManager.default.removeItem(atPath: file)
    try FileManager.default.createDirectory(atPath: file, withIntermediateDirectories: false)
    #expect(throws: StoreError.inaccessible(path: file, errno: EISDIR)) {
      try Store(path: directory.path)
    }
  }

  @Test func aStoreIsServedOnce() throws {
    let directory = TemporaryDirectory()
    let store = try store(directory)
    #expect(throws: StoreError.inUse(path: directory.path)) { try self.store(directory) }
    store.close()
    try self.store(directory).close()
  }

  // MARK: Sessions

  /// Outputs longer than one critical section of the corpus's lock: one that is not kept leaves
  /// while others draft, and one that joins at its close is complete afterwards. Drafts in between
  /// are not compared.
  @Test(arguments: [SharePolicy.live, .close], [true, false])
  func longOutputsComeAndLeaveWhole(_ share: SharePolicy, _ record: Bool) throws {
    let directory = TemporaryDirectory()
    let store = try store(directory)
    defer { store.close() }
    let corpus = try store.createCorpus(named: "c", CorpusSettings(depth: 6))
    var source = SeededGenerator(seed: 5)
    let output = (0..<2000).map { _ in Int32.random(in: 0..<12, using: &source) }
    let other = (0..<500).map { _ in Int32.random(in: 0..<12, using: &source) }
    try corpus.insert([NewSequence(tokens: other)])
    var scratch = DraftScratch()
    var draft = Draft()
    let prompt: [Int32] = [1]
    let session = corpus.openSession(prompt: prompt, share: share)
    try session.step(accepting: output.span, DraftOptions(), using: &scratch, into: &draft)

    let isDone = Locked(false)
    let done = DispatchSemaphore(value: 0)
    session.close(
      record: record, removing: { remove in Thread.detachNewThread { remove() } },
      completion: { result in
        isDone.withLock { $0 = (try? result.get()) != nil }
        done.signal()
      })
    // Further steps fail, and no call waits for the work in between.
    #expect(throws: StoreError.closed(corpus: "c")) {
      try session.step(accepting: [1].span, DraftOptions(), using: &scratch, into: &draft)
    }
    for position in 0..<200 {
      let context = Array(output[position..<(position + 5)])
      try corpus.speculate(context.span, DraftOptions(), using: &scratch, into: &draft)
    }
    done.wait()
    #expect(isDone.withLock { $0 })

    let oracle = NGramOracle(depth: 6, sequences: record ? [other, prompt + output] : [other])
    for start in stride(from: 0, to: 1900, by: 37) {
      let context = Array(output[start..<(start + 8)])
      try corpus.speculate(context.span, DraftOptions(), using: &scratch, into: &draft)
      let naive = NaiveDrafter().draft(from: oracle, context: context)
      #expect(draft.tokens == naive.tokens && draft.counts == naive.counts)
    }
    #expect(corpus.stats().tokens == other.count + (record ? prompt.count + output.count : 0))
  }

  /// Tokens accepted while the corpus cannot be read join its history later, or never: no tokens
  /// are removed that are not there, and none are missing.
  @Test(arguments: [false, true], [false, true])
  func outputsThatJoinedInPartEndWhole(_ record: Bool, _ isRepaired: Bool) throws {
    let directory = TemporaryDirectory()
    let store = try store(directory)
    defer { store.close() }
    let corpus = try store.createCorpus(named: "c", CorpusSettings())
    var scratch = DraftScratch()
    var outcome = Draft()
    let session = corpus.openSession(prompt: [])
    try session.step(accepting: [1, 2, 3].span, DraftOptions(), using: &scratch, into: &outcome)
    corpus.history.damageMark?.set()
    #expect(throws: StoreError.self) {
      try session.step(accepting: [4, 5].span, DraftOptions(), using: &scratch, into: &outcome)
    }
    if isRepaired {
      try corpus.compaction.repair()
      try session.step(accepting: [6, 7].span, DraftOptions(), using: &scratch, into: &outcome)
    }
    let done = DispatchSemaphore(value: 0)
    session.close(record: record) { _ in done.signal() }
    done.wait()
    try corpus.compaction.repair()
    let whole: [Int32] = isRepaired ? [1, 2, 3, 4, 5, 6, 7] : [1, 2, 3, 4, 5]
    for end in 2..<whole.count {
      #expect(
        try draft(corpus, Array(whole[..<end])).first == (record ? whole[end] : nil), "\(end)")
    }
    #expect(corpus.stats().tokens == (record ? whole.count : 0))
  }

  // MARK: Damage

  /// Flips a byte that is found by its content, and opens the store again.
  private func damaged(
    _ directory: TemporaryDirectory, _ needle: Data, offset: Int = 0
  ) throws -> Store {
    let file = URL(fileURLWithPath: "\(directory.path)/corpora/c/data.mdb")
    var bytes = try Data(contentsOf: file)
    var found = 0
    var search = bytes.startIndex..<bytes.endIndex
    while let place = bytes.range(of: needle, in: search) {
      bytes[place.lowerBound + offset] ^= 0x40
      found += 1
      search = place.upperBound..<bytes.endIndex
    }
    #expect(found > 0)
    try bytes.write(to: file)
    return try self.store(directory)
  }

  @Test func aDamagedSequenceOfTheLogIsSetAsideAndItsIDIsFree() throws {
    let directory = TemporaryDirectory()
    let store = try store(directory)
    let corpus = try store.createCorpus(named: "c", CorpusSettings())
    let tokens = (0..<2000).map { Int32(0x5A5A00 + $0) }
    try corpus.insert([NewSequence(id: "lost", tokens: tokens)])
    try corpus.insert([NewSequence(id: "kept", tokens: [1, 2, 3])])
    store.close()
    let reopened = try damaged(
      directory, Data([0x05, 0x5A, 0x5A, 0x00, 0x06, 0x5A, 0x5A, 0x00]))
    defer { reopened.close() }
    let again = try #require(try reopened.corpus(named: "c"))
    #expect(again.stats().damage.contains { $0.contains("sequence 0") })
    #expect(again.stats().sequences == 1)
    #expect(try draft(again, [0x5A5A00]).isEmpty)
    #expect(try draft(again, [1, 2]) == [3])
    #expect(try again.insert([NewSequence(id: "kept", tokens: [1, 2, 3])]).duplicates == 1)
    #expect(try again.insert([NewSequence(id: "lost", tokens: tokens)]).inserted == 1)
    #expect(try draft(again, [0x5A5A00]) == [0x5A5A01])
  }

  @Test func aDamagedSegmentIsBuiltAnewFromItsSequences() throws {
    let directory = TemporaryDirectory()
    let store = try store(directory)
    let corpus = try store.createCorpus(named: "c", CorpusSettings())
    let tokens = (0..<2000).map { Int32(0x5A5A00 + $0) }
    try corpus.insert([NewSequence(id: "a", tokens: tokens), NewSequence(tokens: [1, 2, 3])])
    try corpus.compact()
    store.close()
    // Far behind the text, which takes 31 bits a token: in the suffixes or nodes.
    let reopened = try damaged(directory, Data("RPRSEAL\n".utf8), offset: 9000)
    defer { reopened.close() }
    let again = try #require(try reopened.corpus(named: "c"))
    #expect(again.stats().damage.contains { $0.contains("rebuilt from its 2") })
    #expect(again.stats().sequences == 2 && again.stats().segments == 1)
    #expect(try draft(again, [0x5A5A00]) == [0x5A5A01])
    #expect(try again.insert([NewSequence(id: "a", tokens: tokens)]).duplicates == 1)
  }

  @Test func sequencesThatAreLostAreNamedAndTheOthersServed() throws {
    let directory = TemporaryDirectory()
    let store = try store(directory)
    let corpus = try store.createCorpus(named: "c", CorpusSettings())
    let tokens = (0..<2000).map { Int32(0x5A5A00 + $0) }
    try corpus.insert([NewSequence(id: "lost", tokens: tokens), NewSequence(tokens: [1, 2, 3])])
    try corpus.compact()
    store.close()
    // In the text, which begins behind the header.
    var reopened = try damaged(directory, Data("RPRSEAL\n".utf8), offset: 1001)
    var again = try #require(try reopened.corpus(named: "c"))
    #expect(again.stats().damage.contains { $0.contains("\"lost\"") })
    #expect(again.stats().sequences == 1)
    #expect(try draft(again, [1, 2]) == [3])
    #expect(try draft(again, [0x5A5A00]).isEmpty)
    #expect(try again.insert([NewSequence(id: "lost", tokens: tokens)]).inserted == 1)
    reopened.close()
    // The damage is reported at every start, and the segment stays in its place.
    reopened = try self.store(directory)
    again = try #require(try reopened.corpus(named: "c"))
    #expect(again.stats().damage.count == 1 && again.stats().sequences == 2)
    reopened.close()
    let report = try StoreInspection.check(path: directory.path)
    #expect(report.corpora[0].damage.map(\.what) == ["segment 1"])
  }

  @Test func aFileThatIsNoDatabaseIsItsCorpussTroubleAlone() throws {
    let directory = TemporaryDirectory()
    let store = try store(directory)
    _ = try store.createCorpus(named: "c", CorpusSettings())
    _ = try store.createCorpus(named: "d", CorpusSettings())
    store.close()
    let file = URL(fileURLWithPath: "\(directory.path)/corpora/c/data.mdb")
    try Data(repeating: 0xA5, count: 65536).write(to: file)
    let reopened = try self.store(directory)
    defer { reopened.close() }
    #expect(throws: StoreError.self) { try reopened.corpus(named: "c") }
    #expect(try reopened.corpus(named: "d")?.insert([NewSequence(tokens: [1])]).inserted == 1)
    #expect(throws: StoreError.self) { try reopened.createCorpus(named: "c", CorpusSettings()) }
    #expect(try reopened.dropCorpus(named: "c"))
    #expect(try reopened.createCorpus(named: "c", CorpusSettings()).stats().tokens == 0)
  }
}
