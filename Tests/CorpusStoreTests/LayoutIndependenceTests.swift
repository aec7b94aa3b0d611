import Concurrency
import CorpusStore
import Foundation
import HistoryEngine
import RepriseModel
import StoreErrors
import TestSupport
import Testing

/// The main invariant: a draft depends on the history, the context and the request alone. Random series of
/// insert, open, step, close, seal, merge and reopen must give the oracle's drafts, byte for byte.
@Suite struct LayoutIndependenceTests {
  private struct ModelSession {
    let session: DecodingSession
    var expected: ExpectedSession
  }

  /// A store with the model of its expected answers.
  private struct Model {
    let seed: UInt64
    let directory = TemporaryDirectory()
    let options: StoreOptions
    let depth: Int
    let alphabet: Int32
    let leadIn: Int
    let endIDs: EndIDs
    var generator: SeededGenerator
    var store: Store
    var corpus: Corpus
    var shared: NGramOracle
    var sessions: [ModelSession] = []
    /// The newest outputs of each group, with their lead-ins.
    var groups: [String: [[Int32]]] = [:]
    var finished = HistorySize()
    var scratch = DraftScratch()
    var draft = Draft()
    var compared = 0

    init(seed: UInt64, background: Bool) throws {
      self.seed = seed
      generator = SeededGenerator(seed: seed)
      depth = Int.random(in: 3...12, using: &generator)
      alphabet = Int32([2, 3, 5, 40].randomElement(using: &generator)!)
      leadIn = [0, 1, 8, 64].randomElement(using: &generator)!
      endIDs = .random(below: alphabet, using: &generator)
      var options = StoreOptions.tiny(
        sealTokens: Int.random(in: 16...80, using: &generator), background: background)
      // Merges take some 2 MB here: they always fit, now and then, or never.
      let limit = [4 << 30, 8 << 20, 5 << 20, 1 << 20].randomElement(using: &generator)!
      options.memory = MemoryBudget(limit: limit) { Int.random(in: 0..<(limit / 2)) }
      self.options = options
      store = try Store(path: directory.path, options: options)
      corpus = try store.createCorpus(
        named: "c", CorpusSettings(depth: depth, leadIn: leadIn, endIDs: endIDs))
      shared = NGramOracle(depth: depth)
    }

    mutating func tokens(_ range: ClosedRange<Int>) -> [Int32] {
      generator.tokens(count: Int.random(in: range, using: &generator), alphabet: alphabet)
    }

    /// Returns true if the draft is the oracle's.
    mutating func compare(_ expected: NaiveDraft, _ context: [Int32], _ options: DraftOptions)
      -> Bool
    {
      compared += 1
      let same = expected.isEqual(to: draft)
      if !same {
        Issue.record(
          """
          seed \(seed), depth \(depth), context \(context), \(options)
          \(draft)
          \(expected)
          """)
      }
      return same
    }

    mutating func insert() throws {
      let sequences = (0..<Int.random(in: 1...4, using: &generator)).map { _ in
        NewSequence(group: group(), prompt: tokens(0...80), tokens: tokens(1...40))
      }
      let receipt = try corpus.insert(sequences)
      #expect(receipt.inserted == sequences.count)
      let outputs = sequences.map { endIDs.cut($0.tokens) }
      #expect(receipt.tokens == outputs.reduce(0) { $0 + $1.count })
      for (sequence, output) in zip(sequences, outputs) {
        add(sequence.prompt.suffix(leadIn) + output, output: output, to: sequence.group)
      }
    }

    /// The name of a group, or nil.
    mutating func group() -> String? {
      ["g", "g", "h", nil, nil].randomElement(using: &generator)!
    }

    /// Counts a finished sequence.
    mutating func add(
      _ text: [Int32], output: [Int32], to group: String?, isShared: Bool = false
    ) {
      if !isShared { shared.add(text) }
      if let group { groups[group] = (groups[group] ?? []).suffix(15) + [text] }
      finished += HistorySize(
        tokens: text.count, leadInTokens: text.count - output.count, sequences: 1)
    }

    mutating func open() throws {
      let prompt = tokens(0...30)
      let group = group()
      let share = [SharePolicy.live, .live, .close, .never].randomElement(using: &generator)!
      sessions.append(
        ModelSession(
          session: corpus.openSession(
            prompt: prompt, share: share, group: try group.map(corpus.group)),
          expected: ExpectedSession(
            prompt: prompt, share: share, depth: depth, leadIn: leadIn, endIDs: endIDs,
            group: group.flatMap { groups[$0] } ?? [])))
    }

    mutating func step() throws -> Bool {
      guard let chosen = sessions.indices.randomElement(using: &generator) else { return true }
      let accepted = tokens(0...20)
      let options = DraftOptions.random(using: &generator)
      try sessions[chosen].session.step(
        accepting: accepted.span, options, using: &scratch, into: &draft)
      sessions[chosen].expected.accept(accepted, sharing: &shared)
      let expected = sessions[chosen].expected
      return compare(expected.draft(options, shared: shared), expected.context, options)
    }

    mutating func close() throws {
      guard let chosen = sessions.indices.randomElement(using: &generator) else { return }
      let closed = sessions.remove(at: chosen)
      let record = Int.random(in: 0..<3, using: &generator) > 0
      let receipt = try close(closed.session, record: record)
      if record && closed.expected.share != .never {
        #expect(receipt.recordedTokens == closed.expected.keptOutput.count)
        if closed.expected.output.isEmpty { return }
        add(
          closed.expected.sharedText, output: closed.expected.keptOutput,
          to: closed.session.group, isShared: closed.expected.share == .live)
      } else if closed.expected.share == .live {
        shared.remove(closed.expected.sharedText)
      }
    }

    func close(_ session: DecodingSession, record: Bool) throws -> RecordReceipt {
      let done = DispatchSemaphore(value: 0)
      let answer = Locked<Result<RecordReceipt, StoreError>?>(nil)
      session.close(record: record) { result in
        answer.withLock { $0 = result }
        done.signal()
      }
      done.wait()
      return try answer.withLock { $0 }!.get()
    }

    mutating func speculate() throws -> Bool {
      let context = tokens(1...30)
      var options = DraftOptions.random(using: &generator)
      try corpus.speculate(context.span, options, using: &scratch, into: &draft)
      options.endIDs = endIDs
      return compare(NaiveDraft(options, shared: shared, context: context), context, options)
    }

    /// Sessions live in memory: a restart ends them, and shared output that was not recorded leaves
    /// the history.
    mutating func reopen() throws {
      for session in sessions where session.expected.share == .live {
        shared.remove(session.expected.sharedText)
      }
      sessions = []
      store.close()
      store = try Store(path: directory.path, options: options)
      corpus = try #require(try store.corpus(named: "c"))
      let stats = corpus.stats()
      #expect(
        stats.tokens == finished.tokens && stats.leadInTokens == finished.leadInTokens
          && stats.sequences == finished.sequences)
    }

    mutating func run(operations: Int) throws -> Bool {
      for _ in 0..<operations {
        switch Int.random(in: 0..<20, using: &generator) {
        case 0..<3: try insert()
        case 3..<5: try open()
        case 5..<12: if try !step() { return false }
        case 12..<14: try close()
        case 14..<18: if try !speculate() { return false }
        case 18: if !options.compactsInBackground { try corpus.compact() }
        default: if Int.random(in: 0..<3, using: &generator) == 0 { try reopen() }
        }
      }
      store.close()
      return true
    }
  }

  @Test(arguments: [false, true]) func draftsAreTheOraclesWhateverTheLayout(background: Bool) throws
  {
    var compared = 0
    let seeds = Effort.seeds(150)
    for seed in seeds {
      var model = try Model(seed: seed, background: background)
      if try !model.run(operations: 60) { return }
      compared += model.compared
    }
    #expect(compared > 15 * seeds.count, "the series must compare drafts")
  }
}
