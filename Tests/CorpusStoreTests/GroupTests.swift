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

/// The outputs of a group: the newest sixteen that are in the corpus, whatever happens to it.
/// `LayoutIndependenceTests` compares drafts.
@Suite struct GroupTests {
  private static let options = DraftOptions(policy: .estimate, maxTokens: 8, minProbability: 0.1)

  private static func outputs(_ corpus: Corpus, _ name: String = "g") throws -> [[Int32]] {
    try corpus.group(named: name).group.outputs
  }

  private static func draft(
    _ session: DecodingSession, accepting accepted: [Int32] = []
  ) throws -> Draft {
    var (scratch, draft) = (DraftScratch(), Draft())
    try session.step(accepting: accepted.span, options, using: &scratch, into: &draft)
    return draft
  }

  private static func close(_ session: DecodingSession, record: Bool = true) throws {
    let answer = Promise<Result<RecordReceipt, StoreError>>()
    session.close(record: record) { answer.fulfil($0) }
    _ = try answer.wait().get()
  }

  @Test func insertsAndSessionsJoinTheirGroup() throws {
    let directory = TemporaryDirectory()
    let store = try Store(path: directory.path, options: .tiny())
    let corpus = try store.createCorpus(named: "c", CorpusSettings(leadIn: 2))
    #expect(try Self.outputs(corpus).isEmpty)
    try corpus.insert([
      NewSequence(id: "a", group: "g", prompt: [1, 2, 3], tokens: [10, 11]),
      NewSequence(group: "other", tokens: [12]), NewSequence(tokens: [13]),
    ])
    // Inserting it again under another group changes nothing.
    try corpus.insert([NewSequence(id: "a", group: "other", tokens: [10, 11])])
    for record in [true, false] {
      let session = corpus.openSession(
        prompt: [5, 6, 7], group: try corpus.group(named: "g"))
      _ = try Self.draft(session, accepting: [20, record ? 21 : 22])
      try Self.close(session, record: record)
    }
    #expect(try Self.outputs(corpus) == [[2, 3, 10, 11], [6, 7, 20, 21]])
    #expect(try Self.outputs(corpus, "other") == [[12]])
    store.close()
    #expect(try StoreInspection.check(path: directory.path, deep: true).isClean)
  }

  @Test func theNewestSixteenStay() throws {
    let directory = TemporaryDirectory()
    let store = try Store(path: directory.path, options: .tiny())
    defer { store.close() }
    let corpus = try store.createCorpus(named: "c", CorpusSettings())
    for number in 0..<40 {
      try corpus.insert([NewSequence(group: "g", tokens: [Int32(number), 7])])
      if number % 9 == 8 { try corpus.compact() }
    }
    #expect(try Self.outputs(corpus) == (24..<40).map { [$0, 7] })
    // Long ones: as many of the newest as a session drafts from, and never a part of one.
    let half = (0..<Int32(OutputGroup.tokensMax / 2)).map { $0 }
    for _ in 0..<3 { try corpus.insert([NewSequence(group: "long", tokens: half)]) }
    #expect(try Self.outputs(corpus, "long") == [half, half])
    try corpus.insert([NewSequence(group: "long", tokens: [1])])
    #expect(try Self.outputs(corpus, "long") == [half, [1]])
  }

  /// A sequence that leaves the corpus leaves its group: it is forgotten, or beyond the bounds of what
  /// is kept.
  @Test func sequencesLeaveTheirGroupWithTheCorpus() throws {
    let directory = TemporaryDirectory()
    let store = try Store(path: directory.path, options: .tiny())
    let corpus = try store.createCorpus(
      named: "c", CorpusSettings(retention: Retention(sequences: 8)))
    for number in 0..<6 {
      try corpus.insert([
        NewSequence(id: "\(number)", group: number < 3 ? "g" : "h", tokens: [Int32(number), 1])
      ])
      if number == 1 { try corpus.compact() }
    }
    #expect(try corpus.forget(ids: ["0", "2", "3"]).forgotten == 3)
    #expect(try Self.outputs(corpus) == [[1, 1]])
    #expect(try Self.outputs(corpus, "h") == [[4, 1], [5, 1]])
    for number in 10..<40 { try corpus.insert([NewSequence(tokens: [Int32(number), 1])]) }
    try corpus.compact()
    #expect(try Self.outputs(corpus).isEmpty && Self.outputs(corpus, "h").isEmpty)
    store.close()
    #expect(try StoreInspection.check(path: directory.path, deep: true).isClean)
  }

  /// An open session does not draft from its group any more once something was forgotten.
  @Test func openSessionsDropForgottenOutputs() throws {
    let directory = TemporaryDirectory()
    let store = try Store(path: directory.path, options: .tiny())
    defer { store.close() }
    let corpus = try store.createCorpus(named: "c", CorpusSettings(leadIn: 0))
    try corpus.insert([
      NewSequence(id: "a", group: "g", tokens: [1, 2, 3, 4]), NewSequence(id: "b", tokens: [9, 9]),
    ])
    let session = corpus.openSession(
      prompt: [8, 1], share: .never, group: try corpus.group(named: "g"))
    let draft = try Self.draft(session)
    #expect(draft.tokens.first == 2 && draft.source == .group)
    #expect(try corpus.forget(ids: ["b"]).forgotten == 1)
    #expect(try Self.draft(session).source == .shared, "another sequence was forgotten")
    #expect(try corpus.forget(ids: ["a"]).forgotten == 1)
    #expect(try Self.draft(session).isEmpty)
  }

  /// The check compares the outputs of groups with the sequences.
  @Test func theCheckNamesOutputsThatAreNoSequences() throws {
    let directory = TemporaryDirectory()
    let store = try Store(path: directory.path, options: .tiny())
    let corpus = try store.createCorpus(named: "c", CorpusSettings())
    try corpus.insert([NewSequence(tokens: [1, 2]), NewSequence(group: "g", tokens: [3, 4])])
    store.close()
    do {
      let file = try CorpusFile(
        path: "\(directory.path)/corpora/c",
        options: CorpusFile.Options(mapBytes: 64 << 20, cancellation: Cancellation()))
      try file.write(nextOrder: 2) { (transaction) throws(LMDBError) in
        try GroupTables(of: file).add(0, [1, 9], to: "h", transaction)
        try GroupTables(of: file).add(99, [5], to: "g", transaction)
      }
      file.environment.close()
    }
    let report = try StoreInspection.check(path: directory.path, deep: false)
    #expect(
      report.corpora.first?.damage.map(\.what) == ["output 0 of a group", "table group_outputs"])
  }

  /// A group may be read at any moment. Its file is replaced and closed after the reading.
  @Test func groupsAreReadWhileTheFileIsReplacedAndClosed() throws {
    let directory = TemporaryDirectory()
    let store = try Store(path: directory.path, options: .tiny())
    let corpus = try store.createCorpus(named: "c", CorpusSettings())
    try corpus.insert([NewSequence(group: "g", tokens: [1, 2])])
    _ = try store.createSnapshot(ofCorpus: "c", named: "s")
    let (begun, ended) = (DispatchSemaphore(value: 0), DispatchSemaphore(value: 0))
    let readers = 3
    for _ in 0..<readers {
      Thread.detachNewThread {
        begun.signal()
        while true {
          do throws(StoreError) {
            let outputs = try corpus.group(named: "g").group.outputs
            #expect(outputs == [[1, 2]])
          } catch {
            #expect(error == .closed(corpus: "c"))
            break
          }
        }
        ended.signal()
      }
    }
    for _ in 0..<readers { begun.wait() }
    for _ in 0..<40 { _ = try store.restore(.named("s"), into: "c", replacing: true) }
    store.close()
    for _ in 0..<readers { ended.wait() }
  }

  /// A copy has the groups of its snapshot.
  @Test func snapshotsHoldGroups() throws {
    let directory = TemporaryDirectory()
    let store = try Store(path: directory.path, options: .tiny())
    defer { store.close() }
    let corpus = try store.createCorpus(named: "c", CorpusSettings())
    try corpus.insert([NewSequence(group: "g", tokens: [1, 2])])
    _ = try store.createSnapshot(ofCorpus: "c", named: "s")
    try corpus.insert([NewSequence(group: "g", tokens: [3, 4])])
    let copy = try store.restore(.named("s"), into: "d")
    #expect(try Self.outputs(copy) == [[1, 2]])
    #expect(try Self.outputs(corpus) == [[1, 2], [3, 4]])
    // A history that is replaced by a snapshot's has its groups, and so have new sessions alone.
    let session = corpus.openSession(
      prompt: [8, 3], share: .never, group: try corpus.group(named: "g"))
    #expect(try Self.draft(session).tokens == [4])
    _ = try store.restore(.named("s"), into: "c", replacing: true)
    #expect(try Self.outputs(corpus) == [[1, 2]])
    #expect(try Self.draft(session).isEmpty)
  }
}
