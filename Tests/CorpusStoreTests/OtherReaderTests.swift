import CorpusFormat
import Foundation
import LMDB
import RepriseModel
import StoreErrors
import Testing

@testable import CorpusStore

/// Other processes that read a corpus's file, for example a check, and the slots that killed ones
/// leave.
///
/// What went wrong: a killed check kept its reader slot until the next check began. Pages that were
/// freed in the meantime were not reused, so that the file grew with each insert, and forgetting
/// failed.
@Suite struct OtherReaderTests {
  private func ids(_ range: Range<Int>) -> [NewSequence] {
    range.map { number in
      NewSequence(id: "\(number)", tokens: (0..<200).map { Int32(number * 1000 + $0) })
    }
  }

  /// A process that reads the corpus and is killed.
  private func readAndBeKilled(_ path: String) async {
    await #expect(processExitsWith: .signal(SIGKILL)) { [path = path as String] in
      let file = try CorpusFile(path: path, origin: .shared, options: StoreOptions().file)
      let reading = try file.beginReading()
      kill(getpid(), SIGKILL)
      _ = consume reading
    }
  }

  @Test func killedReadersReleaseTheirPages() async throws {
    let directory = TemporaryDirectory()
    let log = ReportLog()
    let store = try Store(path: directory.path, options: StoreOptions.tiny(), report: log.report)
    defer { store.close() }
    let corpus = try store.createCorpus(named: "c", CorpusSettings())
    try corpus.insert(ids(0..<20))
    try corpus.compact()
    await readAndBeKilled("\(directory.path)/corpora/c")
    try corpus.insert(ids(20..<40))
    #expect(corpus.metrics().otherReaders == 1 && corpus.metrics().transactionsPinned > 0)
    // The overwriting frees the slot first, so that there is nothing to wait for.
    #expect(try corpus.forget(ids: ["3", "33"], patience: .zero).forgotten == 2)
    #expect(corpus.metrics().otherReaders == 0 && corpus.metrics().transactionsPinned == 0)

    // Merging releases pages without waiting for anything else.
    await readAndBeKilled("\(directory.path)/corpora/c")
    #expect(corpus.metrics().otherReaders == 1)
    try corpus.editor.releaseFreePages()
    #expect(corpus.metrics().otherReaders == 0)

    // The service does the same every second.
    await readAndBeKilled("\(directory.path)/corpora/c")
    #expect(log.take().isEmpty)
    store.lookAfter()
    #expect(corpus.metrics().otherReaders == 0)
    #expect(log.take().map { $0.hasPrefix("notice: freed 1 reader slots of corpus c") } == [true])
    store.lookAfter()
    #expect(log.take().isEmpty)
  }

  /// A process that reads the corpus until a file is removed. Its id is in another file.
  private func readUntilToldToEnd(_ path: String, _ marker: String) async {
    await #expect(processExitsWith: .success) {
      [path = path as String, marker = marker as String] in
      let file = try CorpusFile(path: path, origin: .shared, options: StoreOptions().file)
      let reading = try file.beginReading()
      try "\(getpid())".write(toFile: marker, atomically: true, encoding: .utf8)
      while FileManager.default.fileExists(atPath: marker) { usleep(2000) }
      _ = consume reading
    }
  }

  @Test func longReadersAreNamed() async throws {
    let directory = TemporaryDirectory()
    let log = ReportLog()
    let store = try Store(path: directory.path, options: StoreOptions.tiny(), report: log.report)
    defer { store.close() }
    let corpus = try store.createCorpus(named: "c", CorpusSettings())
    try corpus.insert(ids(0..<20))
    let marker = "\(directory.path)/corpora/.reader"
    async let reader: Void = readUntilToldToEnd("\(directory.path)/corpora/c", marker)
    while !FileManager.default.fileExists(atPath: marker) {
      try await Task.sleep(for: .milliseconds(5))
    }
    let process = try #require(Int32(String(contentsOfFile: marker, encoding: .utf8)))
    #expect(corpus.otherReaders.map(\.process) == [process])
    let name = try #require(corpus.otherReaders.first?.description)
    #expect(name.hasPrefix("process \(process) ("))
    // The message is accurate: the sequence is in no draft, and its bytes are still in the file.
    #expect(throws: StoreError.stillRead(corpus: "c", readers: [name])) {
      try corpus.forget(ids: ["3"], patience: .zero)
    }
    #expect(corpus.stats().sequences == 19)
    let text = "\(StoreError.stillRead(corpus: "c", readers: [name]))"
    #expect(text.contains(name) && text.contains("repeat the call"))
    #expect(!text.contains("nothing was written"))

    // A reader of a state of a thousand commits ago is reported to the operator, once, until it
    // ends.
    store.lookAfter()
    #expect(log.take().isEmpty)
    for _ in 0...1000 { try corpus.stored.file.write(nextOrder: 20) { _ throws(LMDBError) in } }
    store.lookAfter()
    store.lookAfter()
    let told = log.take()
    #expect(told.count == 1 && told[0].contains("\(name) reads the state of 10"), "\(told)")
    #expect(store.conditions.current.map(\.kind) == [.reading])
    #expect(store.conditions.preventingReadiness.isEmpty)
    try FileManager.default.removeItem(atPath: marker)
    await reader
    store.lookAfter()
    #expect(store.conditions.current.isEmpty)
    #expect(log.take().map { $0.hasPrefix("notice: ") } == [true])
    #expect(try corpus.forget(ids: ["3"], patience: .zero).missing == 1)
  }

  @Test func aCheckThatIsCancelledEndsItsReading() throws {
    let directory = TemporaryDirectory()
    let store = try Store(path: directory.path, options: .tiny())
    let corpus = try store.createCorpus(named: "c", CorpusSettings())
    try corpus.insert(ids(0..<20))
    try corpus.compact()
    store.close()
    // At each question, until the work ends before it is cancelled.
    var (limit, isDone) = (0, false)
    while !isDone {
      limit += 1
      let asked = Asked()
      asked.arm(cancellingAt: limit)
      do throws(StoreError) {
        let report = try StoreInspection.check(
          path: directory.path, deep: true, cancellation: asked.cancellation())
        #expect(report.isClean && asked.count < limit)
        isDone = true
      } catch {
        #expect(error == .cancelled && asked.count >= limit)
      }
      // The next child could not open the corpus if this one had not closed it.
    }
    #expect(limit > 2)
  }
}
