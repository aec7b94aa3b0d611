import Concurrency
import HistoryEngine
import RepriseModel
import StoreErrors
import TestSupport
import Testing

@testable import CorpusStore

/// Outputs and drafts end at a corpus's end ids. `HistoryLawTests` and `LayoutIndependenceTests` compare
/// drafts with random ones.
@Suite struct EndIDsTests {
  private static let settings = CorpusSettings(leadIn: 2, endIDs: EndIDs([90, 91])!)

  private static func kept(_ corpus: Corpus) throws -> [[Int32]] {
    var kept: [[Int32]] = []
    try corpus.forEachSequence { sequence in
      kept.append(sequence.text)
      return true
    }
    return kept
  }

  /// An end id in a prompt, and so in a lead-in, ends nothing: prompts have those of earlier turns.
  @Test func whatAnOutputHasAfterItsEndIsNotKept() throws {
    let directory = TemporaryDirectory()
    var store = try Store(path: directory.path, options: .tiny())
    var corpus = try store.createCorpus(named: "c", Self.settings)
    let receipt = try corpus.insert([
      NewSequence(id: "a", prompt: [1, 90, 2], tokens: [10, 91, 11, 12]),
      NewSequence(tokens: [13, 14]), NewSequence(tokens: [90]),
    ])
    #expect(receipt.tokens == 5)
    // The same output, whatever follows its end.
    #expect(try corpus.insert([NewSequence(id: "a", tokens: [10, 91, 5])]).duplicates == 1)
    #expect(try Self.kept(corpus) == [[90, 2, 10, 91], [13, 14], [90]])
    store.close()
    store = try Store(path: directory.path, options: .tiny())
    corpus = try #require(try store.corpus(named: "c"))
    #expect(corpus.settings == Self.settings)
    store.close()
  }

  @Test(arguments: [SharePolicy.live, .close])
  func aSessionKeepsItsOutputUpToTheEnd(share: SharePolicy) throws {
    let directory = TemporaryDirectory()
    let store = try Store(path: directory.path, options: .tiny())
    let corpus = try store.createCorpus(named: "c", Self.settings)
    let session = corpus.openSession(prompt: [1, 2, 3], share: share)
    var (scratch, draft) = (DraftScratch(), Draft())
    func step(_ accepted: [Int32]) throws {
      try session.step(accepting: accepted.span, DraftOptions(), using: &scratch, into: &draft)
    }
    try step([20, 21])
    try step([22, 90, 23, 24])
    try step([25, 91])
    #expect(session.outputTokens == 8)
    #expect(session.sharedTokens == (share == .live ? 6 : 0))
    // The session goes on drafting from all of its own text.
    try step([26, 23, 24])
    #expect(draft.tokens.first == 25 && draft.source == .local)
    let answer = Promise<Result<RecordReceipt, StoreError>>()
    session.close(record: true) { answer.fulfil($0) }
    #expect(try answer.wait().get().recordedTokens == 4)
    #expect(try Self.kept(corpus) == [[2, 3, 20, 21, 22, 90]])
    store.close()
  }

  @Test(arguments: DraftPolicy.allCases, [false, true])
  func nothingIsDraftedAfterAnEnd(policy: DraftPolicy, tree: Bool) throws {
    let directory = TemporaryDirectory()
    let store = try Store(path: directory.path, options: .tiny())
    let corpus = try store.createCorpus(named: "c", Self.settings)
    // A lead-in has an end id with tokens after it.
    try corpus.insert([
      NewSequence(prompt: [3, 90], tokens: [30, 31]), NewSequence(tokens: [1, 2, 90]),
    ])
    let options = DraftOptions(policy: policy, maxFactor: 8, minProbability: 0.01, tree: tree)
    var (scratch, draft) = (DraftScratch(), Draft())
    try corpus.speculate([1].span, options, using: &scratch, into: &draft)
    #expect(draft.tokens == [2, 90])
    try corpus.speculate([3].span, options, using: &scratch, into: &draft)
    #expect(draft.tokens == [90])
    try corpus.speculate([90].span, options, using: &scratch, into: &draft)
    #expect(draft.tokens == [30, 31])
    store.close()
  }
}
