import HistoryEngine
import RepriseModel
import StoreErrors
import TestSupport
import Testing

/// The main invariant, in memory: a draft depends on the history, the context and the request alone.
/// Random series of insert, open, step, close, seal, move, merge, remove and replace must give the
/// oracle's drafts, byte for byte. `LayoutIndependenceTests` does the same over files and threads.
@Suite struct HistoryLawTests {
  private struct ModelSession {
    let session: DecodingSession
    var expected: ExpectedSession
  }

  /// A history with the model of its expected answers.
  private struct Model {
    let seed: UInt64
    let depth: Int
    let alphabet: Int32
    let leadIn: Int
    let endIDs: EndIDs
    let memory: MemoryHistory
    var generator: SeededGenerator
    var shared: NGramOracle
    var sessions: [ModelSession] = []
    var scratch = DraftScratch()
    var draft = Draft()
    var compared = 0

    init(seed: UInt64) {
      self.seed = seed
      generator = SeededGenerator(seed: seed)
      depth = Int.random(in: 3...12, using: &generator)
      alphabet = Int32([2, 3, 5, 40].randomElement(using: &generator)!)
      leadIn = [0, 1, 8, 64].randomElement(using: &generator)!
      endIDs = .random(below: alphabet, using: &generator)
      memory = MemoryHistory(
        depth: depth, leadIn: leadIn, endIDs: endIDs,
        sealTokens: Int.random(in: 16...80, using: &generator))
      shared = NGramOracle(depth: depth)
    }

    mutating func tokens(_ range: ClosedRange<Int>) -> [Int32] {
      generator.tokens(count: Int.random(in: range, using: &generator), alphabet: alphabet)
    }

    /// Compares the draft with the oracle's.
    mutating func compare(_ expected: NaiveDraft, _ context: [Int32], _ options: DraftOptions) {
      compared += 1
      let same = expected.isEqual(to: draft)
      #expect(
        same, "seed \(seed), depth \(depth), context \(context), \(options)\n\(draft)\n\(expected)")
    }

    mutating func insert() {
      let sequence = tokens(1...40)
      memory.insert(sequence)
      shared.add(sequence)
    }

    mutating func open() {
      let prompt = tokens(0...30)
      let share = [SharePolicy.live, .live, .close, .never].randomElement(using: &generator)!
      sessions.append(
        ModelSession(
          session: memory.open(prompt, share: share),
          expected: ExpectedSession(
            prompt: prompt, share: share, depth: depth, leadIn: leadIn, endIDs: endIDs)))
    }

    mutating func step() throws {
      guard let chosen = sessions.indices.randomElement(using: &generator) else { return }
      let accepted = tokens(0...20)
      let options = DraftOptions.random(using: &generator)
      try sessions[chosen].session.step(
        accepting: accepted.span, options, using: &scratch, into: &draft)
      sessions[chosen].expected.accept(accepted, sharing: &shared)
      let expected = sessions[chosen].expected
      compare(expected.draft(options, shared: shared), expected.context, options)
    }

    mutating func close() {
      guard let chosen = sessions.indices.randomElement(using: &generator) else { return }
      let closed = sessions.remove(at: chosen)
      let record = Int.random(in: 0..<3, using: &generator) > 0
      closed.session.close(record: record) { _ in }
      if record && closed.expected.share != .never {
        if closed.expected.share == .close { shared.add(closed.expected.sharedText) }
      } else if closed.expected.share == .live {
        shared.remove(closed.expected.sharedText)
      }
    }

    mutating func speculate() throws {
      let context = tokens(1...30)
      var options = DraftOptions.random(using: &generator)
      try memory.history.speculate(context.span, options, using: &scratch, into: &draft)
      options.endIDs = endIDs
      compare(NaiveDraft(options, shared: shared, context: context), context, options)
    }

    mutating func remove() {
      var orders: Set<UInt64> = []
      for (order, tokens) in memory.sequences.sorted(by: { $0.key < $1.key })
      where Int.random(in: 0..<4, using: &generator) == 0 {
        orders.insert(order)
        shared.remove(tokens)
      }
      memory.remove(orders)
    }

    mutating func run(operations: Int) throws {
      for _ in 0..<operations {
        switch Int.random(in: 0..<24, using: &generator) {
        case 0..<3: insert()
        case 3..<5: open()
        case 5..<12: try step()
        case 12..<14: close()
        case 14..<18: try speculate()
        case 18..<21: try memory.seal()
        case 21: memory.merge()
        case 22: remove()
        default: memory.replace()
        }
        #expect(memory.history.size == memory.size)
      }
    }
  }

  @Test func draftsAreTheOraclesWhateverTheLayout() throws {
    var compared = 0
    let seeds = Effort.seeds(1000)
    for seed in seeds {
      var model = Model(seed: seed)
      try model.run(operations: 60)
      compared += model.compared
    }
    #expect(compared > 15 * seeds.count, "the series must compare drafts")
  }

  /// A session answers what a session answers that begins with its whole context: its matches are those
  /// of a search, however it came to them.
  @Test func aSessionDraftsWhatItsContextAloneDrafts() throws {
    for seed in Effort.seeds(300) {
      var generator = SeededGenerator(seed: seed)
      let memory = MemoryHistory(
        depth: Int.random(in: 3...12, using: &generator),
        leadIn: Int.random(in: 0...9, using: &generator), sealTokens: 64)
      var contexts = (0..<3).map { _ in generator.tokens(count: 8, alphabet: 3) }
      let sessions = contexts.map { memory.open($0) }
      var scratch = DraftScratch()
      var (draft, fresh) = (Draft(), Draft())
      for _ in 0..<30 {
        let chosen = Int.random(in: 0..<3, using: &generator)
        let accepted = generator.tokens(
          count: Int.random(in: 0...6, using: &generator), alphabet: 3)
        let options = DraftOptions(tree: Bool.random(using: &generator))
        try sessions[chosen].step(
          accepting: accepted.span, options, using: &scratch, into: &draft)
        contexts[chosen] += accepted
        let other = memory.open(contexts[chosen], share: .never)
        try other.step(accepting: [Int32]().span, options, using: &scratch, into: &fresh)
        #expect(draft == fresh, "seed \(seed), context \(contexts[chosen])")
        if Int.random(in: 0..<4, using: &generator) == 0 {
          memory.insert(generator.tokens(count: 30, alphabet: 3))
        }
        if Int.random(in: 0..<4, using: &generator) == 0 { try memory.seal() }
      }
    }
  }
}
