import CorpusFormat
import Foundation
import HistoryEngine
import RepriseModel
import TestSupport
import Testing

@testable import CorpusStore

/// Forgotten sequences are gone: from drafts, from later snapshots, and from the bytes of the file.
@Suite struct ForgetTests {
  /// True if the bytes occur anywhere in a corpus's file.
  private func isInFile(_ needle: [UInt8], _ directory: TemporaryDirectory) throws -> Bool {
    let file = URL(fileURLWithPath: "\(directory.path)/corpora/c/data.mdb")
    return try Data(contentsOf: file).range(of: Data(needle)) != nil
  }

  private func bytes(_ tokens: [Int32]) -> [UInt8] { tokens.rawSpan.bytes }

  @Test func seriesOfForgettingLeaveWhatAnOracleKeeps() throws {
    for seed in Effort.seeds(6) {
      var generator = SeededGenerator(seed: seed)
      let directory = TemporaryDirectory()
      let background = seed % 2 == 0
      let store = try Store(path: directory.path, options: .tiny(background: background))
      let corpus = try store.createCorpus(named: "c", CorpusSettings(depth: 5))
      var kept: [String: [Int32]] = [:]
      let session = corpus.openSession(prompt: [1])
      var (scratch, draft) = (DraftScratch(), Draft())
      var output: [Int32] = []
      for number in 0..<60 {
        let tokens = generator.tokens(
          count: Int.random(in: 1...20, using: &generator), alphabet: 9)
        try corpus.insert([NewSequence(id: "\(number)", tokens: tokens)])
        kept["\(number)"] = tokens
        if number % 6 == 0 {
          let accepted = generator.tokens(count: 5, alphabet: 9)
          output += accepted
          try session.step(
            accepting: accepted.span, DraftOptions(), using: &scratch, into: &draft)
        }
        if number % 9 == 8 {
          let ids = kept.keys.sorted().shuffled(using: &generator).prefix(4)
          let receipt = try corpus.forget(ids: ids + ["never"])
          #expect(receipt.forgotten == ids.count && receipt.missing == 1, "seed \(seed)")
          #expect(receipt.tokens == ids.reduce(0) { $0 + kept[$1]!.count })
          for id in ids { kept[id] = nil }
        }
        if !background && number % 13 == 0 { try corpus.compact() }
        let oracle = NGramOracle(depth: 5, sequences: Array(kept.values) + [[1] + output])
        let context = generator.tokens(count: 4, alphabet: 9)
        try corpus.speculate(context.span, DraftOptions(), using: &scratch, into: &draft)
        let naive = NaiveDrafter().draft(from: oracle, context: context)
        #expect(draft.tokens == naive.tokens && draft.counts == naive.counts, "seed \(seed)")
      }
      store.close()
      #expect(try StoreInspection.check(path: directory.path, deep: true).isClean, "seed \(seed)")
    }
  }

  /// In the log, in a segment, and in the buffers that LMDB keeps: later inserts must not bring
  /// anything back.
  @Test(arguments: [false, true]) func nothingOfItIsLeftInTheFile(isSealed: Bool) throws {
    let directory = TemporaryDirectory()
    let store = try Store(path: directory.path, options: .tiny(sealTokens: 1 << 20))
    defer { store.close() }
    let corpus = try store.createCorpus(named: "c", CorpusSettings())
    // Short ones, which share a page with others, and a long one on pages of its own.
    let secrets: [[Int32]] = [
      [0x5EC0001, 0x5EC0002, 0x5EC0003], (0..<5000).map { Int32(0x5EC0100 + $0) },
    ]
    for number in 0..<50 {
      try corpus.insert([NewSequence(id: "other-\(number)", tokens: [Int32(number), 1, 2])])
      if number == 20 {
        try corpus.insert([
          NewSequence(id: "secret-short", group: "secret-group", tokens: secrets[0]),
          NewSequence(id: "secret-long", group: "secret-group", tokens: secrets[1]),
        ])
      }
    }
    for secret in secrets { #expect(try isInFile(bytes(secret.suffix(3)), directory)) }
    if isSealed { try corpus.compact() }
    let receipt = try corpus.forget(ids: ["secret-short", "secret-long"])
    #expect(receipt.forgotten == 2)
    func expectNothing(_ moment: String) throws {
      for secret in secrets {
        #expect(try !isInFile(bytes(Array(secret.suffix(3))), directory), "\(moment)")
        #expect(try !isInFile(bytes(Array(secret.prefix(2))), directory), "\(moment)")
      }
      #expect(try !isInFile([UInt8]("secret-".utf8), directory), "\(moment)")
    }
    try expectNothing("when it was answered")
    for number in 0..<200 {
      try corpus.insert([NewSequence(id: "later-\(number)", tokens: [Int32(number), 3])])
    }
    try corpus.compact()
    try expectNothing("after more inserts")
  }

  /// A snapshot that began before does not end afterwards with the forgotten sequence in it.
  @Test func laterSnapshotsHaveNothingOfIt() throws {
    let directory = TemporaryDirectory()
    let store = try Store(path: directory.path, options: .tiny())
    defer { store.close() }
    let corpus = try store.createCorpus(named: "c", CorpusSettings())
    try corpus.insert([
      NewSequence(id: "a", tokens: [1, 2, 3]), NewSequence(id: "b", tokens: [4, 5]),
    ])
    _ = try store.createSnapshot(ofCorpus: "c", named: "before")
    let receipt = try store.forget(ids: ["a"], inCorpus: "c")
    #expect(receipt.forgotten == 1 && receipt.olderSnapshots == ["before"])
    let after = try store.createSnapshot(ofCorpus: "c", named: "after")
    #expect(after.sequences == 1 && after.tokens == 2)
    // The id may be used again.
    #expect(try corpus.insert([NewSequence(id: "a", tokens: [9])]).inserted == 1)
  }
}
