import CorpusFormat
import Foundation
import HistoryEngine
import LMDB
import RepriseModel
import StoreErrors
import Testing

@testable import CorpusStore

/// With durability `interval`, no call waits for the writing of acknowledged sequences: if it
/// fails, the operator and health are informed.
///
/// What went wrong: on a full disk nothing was logged and the service was ready, until all
/// acknowledged sequences were lost.
@Suite struct SavingTests {
  private let directory = TemporaryDirectory()
  private let time = TestClock()
  private let log = ReportLog()

  /// A store with a corpus that holds more than its map has room for, in foreign values.
  private func openFull() throws -> (Store, Corpus) {
    var options = StoreOptions.tiny(sealTokens: 1 << 20)
    options.mapBytes = 1 << 20
    options.clock = time.clock
    let store = try Store(path: directory.path, options: options, report: log.report)
    let corpus = try store.createCorpus(
      named: "c", CorpusSettings(durability: .interval(millis: 200)))
    let value = [UInt8](repeating: 7, count: 100_000)
    try corpus.stored.file.write(nextOrder: 0) { (transaction) throws(LMDBError) in
      for key in 0..<9 {
        try transaction.put(
          Key(UInt64(key)), unsafe value.span.bytes, in: corpus.stored.file.setAside)
      }
    }
    return (store, corpus)
  }

  private func makeRoom(_ corpus: Corpus) throws {
    try corpus.stored.file.write(nextOrder: 0) { (transaction) throws(LMDBError) in
      for key in 0..<9 { try transaction.delete(Key(UInt64(key)), in: corpus.stored.file.setAside) }
    }
    // Pages freed by a transaction can be reused by the next but one, if no reader uses an older
    // state.
    corpus.stored.renewView()
    try corpus.stored.file.write(nextOrder: 0) { _ throws(LMDBError) in }
    corpus.stored.renewView()
  }

  private let large = (0..<3).map { number in
    NewSequence(tokens: [Int32](repeating: Int32(number), count: 12_000))
  }

  @Test func aSaveThatFailsIsToldAndRetriedUntilItSucceeds() throws {
    let (store, corpus) = try openFull()
    try corpus.insert(large)
    #expect(corpus.stats().unsavedSequences == 3)
    time.advance(.milliseconds(150))
    corpus.writer.wake()
    #expect(eventually { !store.conditions.current.isEmpty })
    let told = log.next()
    let failure = "error: saving corpus c fails: 3 acknowledged sequences are not on disk"
    #expect(told.map { $0.hasPrefix(failure) } == [true], "\(told)")
    // Further sequences are refused, and the age of the oldest is known.
    #expect(throws: StoreError.self) { try corpus.insert([NewSequence(tokens: [1])]) }
    #expect(abs(corpus.metrics().unsavedSeconds - 0.15) < 0.001)
    #expect(store.conditions.preventingReadiness.isEmpty)
    // For 5 s the service stays ready.
    time.advance(.milliseconds(4990))
    #expect(store.conditions.preventingReadiness.isEmpty)
    time.advance(.milliseconds(10))
    #expect(store.conditions.preventingReadiness.map(\.kind) == [.saving])

    try makeRoom(corpus)
    time.advance(.seconds(60))
    corpus.writer.wake()
    #expect(eventually { corpus.stats().unsavedSequences == 0 })
    #expect(eventually { store.conditions.current.isEmpty })
    #expect(corpus.metrics().unsavedSeconds == 0)
    #expect(log.next().last?.hasPrefix("notice: saving corpus c is in order again") == true)
    #expect(store.close().isEmpty)
    let again = try Store(path: directory.path, options: .tiny(sealTokens: 1 << 20))
    #expect(try again.corpus(named: "c")?.stats().sequences == 3)
    again.close()
  }

  /// What went wrong: jobs kept what waited for their answers until they were written. A service
  /// that stopped waited for that, up to half a window, and on a full disk until it gave up.
  @Test func answeredJobsKeepNothingAlive() throws {
    let store = try Store(path: directory.path, options: .tiny())
    defer { store.close() }
    let corpus = try store.createCorpus(
      named: "c", CorpusSettings(durability: .interval(millis: 60_000)))
    weak var kept: Kept?
    weak var closed: DecodingSession?
    func use() throws {
      let (inserting, recording) = (Kept(), Kept())
      kept = inserting
      corpus.insert([NewSequence(tokens: [1, 2])]) { _ in inserting.answered.signal() }
      inserting.answered.wait()
      let session = corpus.openSession(prompt: [1])
      closed = session
      var (scratch, draft) = (DraftScratch(), Draft())
      try session.step(
        accepting: ([4, 5] as [Int32]).span, DraftOptions(), using: &scratch, into: &draft)
      session.close(record: true) { _ in recording.answered.signal() }
      recording.answered.wait()
    }
    try use()
    #expect(eventually { kept == nil && closed == nil })
    #expect(corpus.stats().unsavedSequences == 2)
  }

  private final class Kept: Sendable {
    let answered = DispatchSemaphore(value: 0)
  }

  @Test func lossesAreReportedAtTheEnd() throws {
    let (store, corpus) = try openFull()
    try corpus.insert(large)
    let unsaved = store.commitAll()
    #expect(unsaved.count == 1 && unsaved[0].contains("3 acknowledged sequences of corpus c"))
    let losses = store.close()
    #expect(losses.count == 1)
    #expect(
      losses[0].hasPrefix("3 acknowledged sequences of corpus c are not on disk and are lost: "))
    #expect(losses[0].contains("map is full"))
  }
}
