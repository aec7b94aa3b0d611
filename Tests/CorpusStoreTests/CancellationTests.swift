import Concurrency
import CorpusFormat
import Foundation
import HistoryEngine
import LMDB
import RepriseModel
import StoreErrors
import TestSupport
import Testing

@testable import CorpusStore

/// Long work gives way when its store is to be closed.
///
/// What went wrong: a service that was told to stop waited for a merge to end, 74 s after SIGTERM.
/// The merge did not check whether the store was closing, and some stages never checked anything.
@Suite struct CancellationTests {
  /// Some long work, and the corpora after it.
  struct Work: CustomTestStringConvertible, Sendable {
    let testDescription: String
    var after = Set(CancellationTests.ids)
    /// The corpora that may exist once it is done or cancelled.
    let body: @Sendable (Store) throws -> Void
  }

  private static let ids = (0..<240).map { "\($0)" }

  static let works: [Work] = [
    Work(testDescription: "sealing") { store in
      let corpus = try store.corpus(named: "c")!
      corpus.parts.begin()
      while try corpus.compaction.compactOnce(.sealing) {}
    },
    Work(testDescription: "merging") { store in
      let corpus = try store.corpus(named: "c")!
      // It returns false if it gives way.
      if try !corpus.compaction.compactOnce(.merging) { throw StoreError.cancelled }
    },
    Work(testDescription: "forgetting", after: Set(ids.filter { Int($0)! % 3 != 0 })) { store in
      _ = try store.forget(ids: ids.filter { Int($0)! % 3 == 0 }, inCorpus: "c")
    },
    Work(testDescription: "taking a snapshot") { store in
      _ = try store.createSnapshot(ofCorpus: "c", named: "new")
    },
    Work(testDescription: "verifying a snapshot") { store in
      _ = try store.verifySnapshot(.named("s"))
    },
    Work(testDescription: "restoring a copy") { try $0.restore(.named("s"), into: "new") },
    Work(testDescription: "restoring in place") {
      try $0.restore(.named("s"), into: "c", replacing: true)
    },
    Work(testDescription: "merging corpora") { _ = try $0.mergeCorpus(from: "c", into: "other") },
    Work(testDescription: "repairing") { try $0.corpus(named: "c")!.compaction.repair() },
    Work(testDescription: "reading all sequences") { store in
      try store.corpus(named: "c")!.forEachSequence { _ in true }
    },
  ]

  /// A store with segments to be merged, sequences in the log and a snapshot.
  private static func makeStore() throws -> TemporaryDirectory {
    let directory = TemporaryDirectory()
    let store = try Store(path: directory.path, options: .tiny(sealTokens: 1 << 20))
    defer { store.close() }
    let corpus = try store.createCorpus(named: "c", CorpusSettings(depth: 5))
    _ = try store.createCorpus(named: "other", CorpusSettings(depth: 5))
    var generator = SeededGenerator(seed: 4)
    for (number, id) in ids.enumerated() {
      try corpus.insert([
        NewSequence(id: id, tokens: generator.tokens(count: 20, alphabet: 50))
      ])
      if number % 40 == 39 && number < 200 {
        corpus.parts.begin()
        while try corpus.compaction.compactOnce(.sealing) {}
      }
    }
    _ = try store.createSnapshot(ofCorpus: "c", named: "s")
    return directory
  }

  private static func copy(of directory: TemporaryDirectory) throws -> TemporaryDirectory {
    let copy = TemporaryDirectory()
    try FileManager.default.copyItem(atPath: directory.path, toPath: copy.path)
    return copy
  }

  private static func keptIDs(_ directory: TemporaryDirectory) throws -> Set<String> {
    let store = try Store(path: directory.path, options: .tiny())
    defer { store.close() }
    var ids: Set<String> = []
    try store.corpus(named: "c")!.forEachSequence { sequence in
      ids.insert(sequence.id ?? "")
      return true
    }
    return ids
  }

  @Test(arguments: works) func longWorkGivesWayAtAnyMoment(_ work: Work) throws {
    let template = try Self.makeStore()
    // Near its end the work may be done before it can give way.
    var last = Int.max - 1
    /// Returns the number of times that the work asked.
    func run(cancellingAt question: Int) throws -> Int {
      let directory = try Self.copy(of: template)
      let asked = Asked()
      var options = StoreOptions.tiny()
      options.cancellation = asked.cancellation()
      let store = try Store(path: directory.path, options: options)
      asked.arm(cancellingAt: question)
      do {
        try work.body(store)
        #expect(question > last, "question \(question) was not heeded")
      } catch {
        #expect(error as? StoreError == .cancelled && question < .max, "\(question): \(error)")
      }
      let count = asked.count
      store.close()
      #expect(try StoreInspection.check(path: directory.path, deep: true).isClean, "\(question)")
      let kept = try Self.keptIDs(directory)
      #expect(kept == work.after || (question < .max && kept == Set(Self.ids)), "\(question)")
      return count
    }
    let all = try run(cancellingAt: .max)
    #expect(all >= 5)
    last = all * 3 / 4
    let moments = Set([1, 2, all / 4, all / 2, all * 3 / 4, all - 1]).filter { $0 > 0 }
    for question in moments.sorted() {
      let count = try run(cancellingAt: question)
      // Stages around the work may ask once more each; the work itself does not continue.
      #expect(count - question <= 8, "asked \(count - question) times after question \(question)")
    }
  }

  @Test func openingAndCheckingGiveWayAtAnyMoment() throws {
    let template = try Self.makeStore()
    let asked = Asked()
    for isCheck in [false, true] {
      func run() throws {
        if isCheck {
          _ = try StoreInspection.check(
            path: template.path, deep: true, cancellation: asked.cancellation())
        } else {
          var options = StoreOptions.tiny()
          options.cancellation = asked.cancellation()
          try Store(path: template.path, options: options).close()
        }
      }
      asked.arm()
      try run()
      // The last question before the end of the work is that of the end.
      for question in stride(from: 1, to: asked.count - 1, by: max(1, asked.count / 7)) {
        let asked = Asked()
        asked.arm(cancellingAt: question)
        var options = StoreOptions.tiny()
        options.cancellation = asked.cancellation()
        #expect(throws: StoreError.cancelled, "\(isCheck) \(question)") {
          if isCheck {
            _ = try StoreInspection.check(
              path: template.path, deep: true, cancellation: options.cancellation)
          } else {
            try Store(path: template.path, options: options).close()
          }
        }
      }
    }
    #expect(try StoreInspection.check(path: template.path, deep: true).isClean)
    #expect(try Self.keptIDs(template) == Set(Self.ids))
  }

  /// What went wrong: chunks of a segment that could not be written completely stayed in the file
  /// until the next opening, more of them with each try.
  @Test func aMergeThatGivesWayLeavesNoChunks() throws {
    let directory = try Self.makeStore()
    var options = StoreOptions.tiny()
    options.mergeFanIn = 5
    let store = try Store(path: directory.path, options: options)
    defer { store.close() }
    let corpus = try store.corpus(named: "c")!
    let before = try corpus.chunkCount()
    var change = HistoryChange(of: corpus.editor, .merging)
    var builder = SegmentBuilder(depth: 5, expected: HistorySize())
    let view = try corpus.stored.view()
    try corpus.editor.forEachSequence(of: view.segments[0], in: view) { entry, tokens in
      builder.append(tokens, entry)
    }
    let asked = Locked(0)
    let memory = try #require(options.memory.reserve(1 << 20, for: .operations))
    let built = try builder.build(memory) { false }
    try change.add(built) { false }
    #expect(throws: StoreError.cancelled) {
      try change.add(built) {
        asked.withLock { count in
          count += 1
          return count == 1
        }
      }
    }
    #expect(try corpus.chunkCount() > before)
    change.giveUp()
    #expect(try corpus.chunkCount() == before)
  }

  /// A change can fail after its commit, when no transaction can begin to read it. Abandoning it
  /// deletes only chunks of segments that were not added.
  @Test func aChangeThatWasCommittedKeepsItsSegments() throws {
    let directory = try Self.makeStore()
    let options = StoreOptions.tiny()
    let store = try Store(path: directory.path, options: options)
    let corpus = try store.corpus(named: "c")!
    #expect(throws: StoreError.cancelled) {
      let view = try corpus.stored.view()
      let old = view.segments[0]
      var builder = SegmentBuilder(depth: 5, expected: HistorySize())
      try corpus.editor.forEachSequence(of: old, in: view) { entry, tokens in
        builder.append(tokens, entry)
      }
      let memory = try #require(options.memory.reserve(1 << 20, for: .operations))
      let built = try builder.build(memory) { false }
      try corpus.editor.change(.merging) { (change) throws(StoreError) in
        try change.add(built) { false }
        change.records.dropped = [SegmentChunks(old.number, old.record, corpus.stored.file)]
        try change.carryOut()
        throw .cancelled
      }
    }
    store.close()
    #expect(try StoreInspection.check(path: directory.path).isClean)
    #expect(try Self.keptIDs(directory) == Set(Self.ids))
  }

  /// Closing and dropping wait for compaction, so they cancel it first.
  @Test(arguments: [false, true]) func compactionGivesWayToClosing(byDropping: Bool) throws {
    let directory = TemporaryDirectory()
    let held = HeldCompaction()
    var options = StoreOptions.tiny(background: true)
    options.cancellation = Cancellation(whenAsked: held.hold)
    let store = try Store(path: directory.path, options: options)
    let corpus = try store.createCorpus(named: "c", CorpusSettings(depth: 5))
    held.begin(corpus)
    // A part of the corpus is full, and should be sealed. No other work asks.
    corpus.insert([NewSequence(id: "a", tokens: (0..<30).map { $0 })]) { _ in }
    held.waitUntilHeld()
    if byDropping { _ = try store.dropCorpus(named: "c") } else { store.close() }
    #expect(held.wasTold)
    store.close()
  }

  /// Holds the thread that seals, once it asks, until the corpus is closing.
  private final class HeldCompaction: Sendable {
    private let corpus = Locked<Corpus?>(nil)
    private let isHeld = DispatchSemaphore(value: 0)
    private let told = Locked(false)
    /// It stops holding after this, and the test fails.
    private static let secondsMax = 20

    var wasTold: Bool { told.withLock { $0 } }

    private static var isSealing: Bool {
      (try? String(contentsOfFile: "/proc/thread-self/comm", encoding: .utf8))
        == "reprise-sealing\n"
    }

    func begin(_ corpus: Corpus) { self.corpus.withLock { $0 = corpus } }
    func waitUntilHeld() { isHeld.wait() }

    func hold() {
      if !Self.isSealing { return }
      // Once: checking whether the corpus is closing asks as well.
      let corpus = corpus.withLock { corpus in
        defer { corpus = nil }
        return corpus
      }
      guard let corpus else { return }
      isHeld.signal()
      let end = ContinuousClock.now + .seconds(Self.secondsMax)
      while !corpus.compaction.isClosing && ContinuousClock.now < end { usleep(1000) }
      told.withLock { $0 = corpus.compaction.isClosing }
    }
  }

  /// Compaction that was cancelled does not catch up any more, so inserts that waited for it go on.
  @Test func insertsDoNotWaitForCancelledCompaction() throws {
    let directory = TemporaryDirectory()
    let held = HeldCompaction()
    var options = StoreOptions.tiny(background: true)
    options.cancellation = Cancellation(whenAsked: held.hold)
    let store = try Store(path: directory.path, options: options)
    let corpus = try store.createCorpus(named: "c", CorpusSettings(depth: 5))
    held.begin(corpus)
    // Each fills a part. None is sealed, so more wait than may.
    for number in 0...Int32(options.sealsWaitingMax) {
      try corpus.insert([NewSequence(tokens: (0..<30).map { $0 + number })])
    }
    held.waitUntilHeld()
    // The writer begins the next part after it has answered.
    #expect(eventually { corpus.compaction.progress.isBehind(of: corpus.history) })
    let isInserted = DispatchSemaphore(value: 0)
    corpus.insert([NewSequence(id: "late", tokens: [1, 2, 3])]) { result in
      if case .success = result { isInserted.signal() }
    }
    store.cancelLongWork()
    #expect(isInserted.wait(timeout: .now() + 20) == .success)
    store.close()
    #expect(try Self.keptIDs(directory).contains("late"))
  }

  @Test func longWorkIsCancelledAndInsertsGoOn() throws {
    let directory = try Self.makeStore()
    let asked = Asked()
    var options = StoreOptions.tiny(background: true)
    options.cancellation = asked.cancellation()
    let store = try Store(path: directory.path, options: options)
    let corpus = try store.corpus(named: "c")!
    #expect(!corpus.compaction.isClosing)
    store.cancelLongWork()
    #expect(corpus.compaction.isClosing && !options.cancellation.isCancelled)
    // Inserts continue until the store is closed.
    try corpus.insert([NewSequence(id: "late", tokens: [1, 2, 3])])
    store.close()
    #expect(try Self.keptIDs(directory) == Set(Self.ids + ["late"]))
  }
}

extension Corpus {
  fileprivate func chunkCount() throws -> Int {
    let transaction = try stored.file.beginReading()
    var count = 0
    try transaction.forEach(in: stored.file.chunks) { _, _ in
      count += 1
      return true
    }
    return count
  }
}

/// Counts the questions of long work, and cancels at one of them.
final class Asked: Sendable {
  private let state = Locked(State())
  private struct State {
    var count = 0
    var cancelAt = Int.max
    var isArmed = false
  }
  private let cancelled = Cancellation()

  func cancellation() -> Cancellation {
    Cancellation(within: cancelled) { [self] in
      let isTime = state.withLock { state in
        if state.isArmed { state.count += 1 }
        return state.isArmed && state.count == state.cancelAt
      }
      if isTime { cancelled.cancel() }
    }
  }

  func arm(cancellingAt question: Int = .max) {
    state.withLock { $0 = State(cancelAt: question, isArmed: true) }
  }

  var count: Int { state.withLock { $0.count } }
}
