import Concurrency
import Foundation
import HistoryEngine
import RepriseModel
import StoreErrors
import TestSupport
import Testing

@testable import CorpusStore

/// The last tokens of a prompt stand before its output in the history, and nothing else of the prompt is
/// kept. `HistoryLawTests` and `LayoutIndependenceTests` compare drafts.
@Suite struct LeadInTests {
  private struct Kept: Equatable {
    var id: String?
    var leadIn: [Int32]
    var output: [Int32]
  }

  private static func kept(_ corpus: Corpus) throws -> [Kept] {
    var kept: [Kept] = []
    try corpus.forEachSequence { sequence in
      kept.append(Kept(id: sequence.id, leadIn: sequence.leadIn, output: sequence.output))
      return true
    }
    return kept
  }

  /// Decodes an output, and closes its session.
  @discardableResult
  private static func decode(
    _ corpus: Corpus, prompt: [Int32], _ output: [Int32], record: Bool = true,
    share: SharePolicy = .live
  ) throws -> RecordReceipt {
    let session = corpus.openSession(prompt: prompt, share: share)
    var (scratch, draft) = (DraftScratch(), Draft())
    for token in output {
      try session.step(accepting: [token].span, DraftOptions(), using: &scratch, into: &draft)
    }
    let answer = Promise<Result<RecordReceipt, StoreError>>()
    session.close(record: record) { answer.fulfil($0) }
    return try answer.wait().get()
  }

  private static func drafted(_ corpus: Corpus, after context: [Int32]) throws -> [Int32] {
    var (scratch, draft) = (DraftScratch(), Draft())
    try corpus.speculate(context.span, DraftOptions(), using: &scratch, into: &draft)
    return draft.tokens
  }

  @Test func insertsAndSessionsKeepTheEndOfThePrompt() throws {
    let directory = TemporaryDirectory()
    let store = try Store(path: directory.path, options: .tiny())
    let corpus = try store.createCorpus(named: "c", CorpusSettings(leadIn: 3))
    let receipt = try corpus.insert([
      NewSequence(id: "a", prompt: [1, 2, 3, 4, 5], tokens: [10, 11]),
      NewSequence(prompt: [6], tokens: [12]), NewSequence(tokens: [13]),
    ])
    #expect(receipt.tokens == 4)
    #expect(try Self.decode(corpus, prompt: [21, 22, 23, 24], [30, 31]).recordedTokens == 2)
    try Self.decode(corpus, prompt: [25, 26], [32], share: .close)
    let expected = [
      Kept(id: "a", leadIn: [3, 4, 5], output: [10, 11]),
      Kept(leadIn: [6], output: [12]), Kept(leadIn: [], output: [13]),
      Kept(leadIn: [22, 23, 24], output: [30, 31]), Kept(leadIn: [25, 26], output: [32]),
    ]
    #expect(try Self.kept(corpus) == expected)
    let stats = corpus.stats()
    #expect(stats.tokens == 16 && stats.leadInTokens == 9 && stats.sequences == 5)
    // The first token of an output is drafted, and so is the text before it.
    #expect(try Self.drafted(corpus, after: [4, 5]) == [10, 11])
    #expect(try Self.drafted(corpus, after: [22, 23]) == [24, 30])
    #expect(try Self.drafted(corpus, after: [1, 2]) == [])
    store.close()
  }

  /// As long as a session has no output, the history has nothing of it; what is not recorded leaves
  /// with its lead-in.
  @Test func aLeadInComesAndGoesWithItsOutput() throws {
    let directory = TemporaryDirectory()
    let store = try Store(path: directory.path, options: .tiny())
    let corpus = try store.createCorpus(named: "c", CorpusSettings())
    let session = corpus.openSession(prompt: [1, 2, 3])
    var (scratch, draft) = (DraftScratch(), Draft())
    try session.step(accepting: [Int32]().span, DraftOptions(), using: &scratch, into: &draft)
    #expect(corpus.stats().openTokens == 0 && session.sharedTokens == 0)
    try session.step(accepting: [Int32](4...5).span, DraftOptions(), using: &scratch, into: &draft)
    #expect(corpus.stats().openTokens == 5 && session.sharedTokens == 5)
    #expect(try Self.drafted(corpus, after: [2, 3]) == [4, 5])
    session.close(record: false) { _ in }
    #expect(corpus.stats().openTokens == 0)
    #expect(try Self.drafted(corpus, after: [2]) == [])
    try Self.decode(corpus, prompt: [1, 2, 3], [], share: .live)
    #expect(corpus.stats().sequences == 0)
    store.close()
  }

  @Test func aLeadInBeginsAfterATokenBeyondTheVocabulary() throws {
    let directory = TemporaryDirectory()
    let store = try Store(path: directory.path, options: .tiny())
    let corpus = try store.createCorpus(named: "c", CorpusSettings(vocabulary: 100))
    try corpus.insert([
      NewSequence(prompt: [1, 100, 2, 3], tokens: [4]), NewSequence(prompt: [5, 100], tokens: [6]),
    ])
    try Self.decode(corpus, prompt: [7, 500, 8], [9])
    #expect(
      try Self.kept(corpus) == [
        Kept(leadIn: [2, 3], output: [4]), Kept(leadIn: [], output: [6]),
        Kept(leadIn: [8], output: [9]),
      ])
    store.close()
  }

  /// Through sealing, merging, reopening, snapshots, restoring and merging of corpora.
  @Test func leadInsStayThemselvesWhereverASequenceGoes() throws {
    let directory = TemporaryDirectory()
    var store = try Store(path: directory.path, options: .tiny())
    var corpus = try store.createCorpus(named: "c", CorpusSettings(leadIn: 4))
    _ = try store.createCorpus(named: "none", CorpusSettings(leadIn: 0))
    var generator = SeededGenerator(seed: 3)
    var expected: [Kept] = []
    for number in 0..<30 {
      let prompt = generator.tokens(count: number % 9, alphabet: 50)
      let output = generator.tokens(count: 1 + number % 11, alphabet: 50)
      let id = number % 2 == 0 ? "\(number)" : nil
      try corpus.insert([NewSequence(id: id, prompt: prompt, tokens: output)])
      expected.append(Kept(id: id, leadIn: prompt.suffix(4), output: output))
      if number % 7 == 6 { try corpus.compact() }
    }
    func check(_ corpus: Corpus) throws {
      #expect(try Self.kept(corpus) == expected)
      let leadIns = expected.reduce(0) { $0 + $1.leadIn.count }
      let stats = corpus.stats()
      #expect(stats.leadInTokens == leadIns)
      #expect(stats.tokens == expected.reduce(leadIns) { $0 + $1.output.count })
    }
    try check(corpus)
    store.close()
    store = try Store(path: directory.path, options: .tiny())
    corpus = try #require(try store.corpus(named: "c"))
    try check(corpus)
    // An id names an output: the same one is a duplicate, whatever stood before it.
    for number in stride(from: 0, to: 30, by: 2) {
      for prompt: [Int32] in [[], [77]] {
        var again = NewSequence(
          id: expected[number].id, prompt: prompt, tokens: expected[number].output)
        #expect(try corpus.insert([again]).duplicates == 1)
        again.tokens.append(1)
        #expect(throws: StoreError.conflict(id: again.id!)) { try corpus.insert([again]) }
      }
    }
    _ = try store.createSnapshot(ofCorpus: "c", named: "s")
    _ = try store.verifySnapshot(.named("s"))
    try check(try store.restore(.named("s"), into: "r"))
    // What a corpus asks for is asked of new sequences.
    _ = try store.mergeCorpus(from: "c", into: "none")
    let target = try #require(try store.corpus(named: "none"))
    try target.insert([NewSequence(prompt: [1, 2], tokens: [3])])
    #expect(try Self.kept(target) == expected + [Kept(leadIn: [], output: [3])])
    // Forgetting takes the lead-in with it, from the log and from segments.
    _ = try corpus.forget(ids: expected.compactMap(\.id))
    expected.removeAll { $0.id != nil }
    try check(corpus)
    store.close()
    #expect(try StoreInspection.check(path: directory.path, deep: true).isClean)
  }

  /// Operators rely on this where prompts are private.
  @Test(arguments: [0, 2]) func noByteOfTheRestOfAPromptIsWritten(leadIn: Int) throws {
    let directory = TemporaryDirectory()
    let store = try Store(path: directory.path, options: .tiny())
    let corpus = try store.createCorpus(named: "c", CorpusSettings(leadIn: leadIn))
    // Their four bytes occur nowhere by chance.
    let secret: [Int32] = [0x5A17_C3E1, 0x61B4_9D27, 0x4F82_E6B5]
    try corpus.insert([NewSequence(prompt: secret + [1, 2], tokens: [3])])
    try Self.decode(corpus, prompt: secret + [1, 2], [3])
    func isWritten(_ token: Int32) throws -> Bool {
      let bytes = Data((0..<4).map { UInt8(truncatingIfNeeded: token >> (8 * Int32($0))) })
      let files = FileManager.default.enumerator(atPath: directory.path)
      while let name = files?.nextObject() as? String {
        guard let data = FileManager.default.contents(atPath: "\(directory.path)/\(name)")
        else { continue }
        if data.range(of: bytes) != nil { return true }
      }
      return false
    }
    // The log holds tokens as they are; the marker shows that one would be found.
    let marker: Int32 = 0x73D9_6A4C
    try corpus.insert([NewSequence(tokens: [marker])])
    #expect(try isWritten(marker))
    for token in secret { #expect(try !isWritten(token)) }
    store.close()
    for token in secret { #expect(try !isWritten(token)) }
  }
}
