import HistoryEngine
import RepriseModel
import StoreErrors
import SuffixIndex
import TestSupport
import Testing

/// Sessions over one shared history.
@Suite struct SessionTests {
  /// Scratch memory and the last draft.
  private struct Drafting {
    var scratch = DraftScratch()
    var draft = Draft()

    mutating func step(_ session: DecodingSession, _ tokens: [Int32] = []) throws {
      try session.step(accepting: tokens.span, DraftOptions(), using: &scratch, into: &draft)
    }

    mutating func speculate(_ history: SharedHistory, _ context: [Int32]) throws {
      try history.speculate(context.span, DraftOptions(), using: &scratch, into: &draft)
    }
  }

  /// Tokens that a batch's budget leaves out were never verified.
  @Test func theOutcomeIsThatOfTheTokensThatWereKept() throws {
    let memory = MemoryHistory(depth: 64)
    memory.insert([1, 2, 3, 4, 5, 6])
    var drafting = Drafting()
    for (kept, accepted, outcome) in [
      (9, [4, 5, 9], [3, 2]),
      (1, [4, 5, 9], [1, 1]), (0, [4], nil),
    ] as [(Int, [Int32], [Int]?)] {
      let session = memory.open([1, 2, 3], share: .never)
      try drafting.step(session)
      #expect(drafting.draft.tokens == [4, 5, 6])
      session.keepDrafted(kept)
      let found = try session.step(
        accepting: accepted.span, DraftOptions(maxTokens: 0), using: &drafting.scratch,
        into: &drafting.draft)
      #expect(found.map { [$0.drafted, $0.accepted] } == outcome, "\(kept)")
    }
  }

  /// One session's text is removed and another's added between two steps of a third, so that the
  /// count that the third one watches stays the same.
  @Test func aRemovalIsSeenAlthoughTheCountIsAsBefore() throws {
    let memory = MemoryHistory(depth: 64)
    var drafting = Drafting()
    let writer = memory.open()
    try drafting.step(writer, [7, 2, 3, 5])
    let reader = memory.open([8, 2, 3], share: .never)
    try drafting.step(reader)
    #expect(drafting.draft.matchLength == 2 && drafting.draft.tokens == [5])
    writer.close(record: false) { _ in }
    try drafting.step(memory.open(), [8, 2, 3, 4])
    try drafting.step(reader)
    #expect(drafting.draft.matchLength == 3 && drafting.draft.tokens == [4])
  }

  @Test func aSessionThatContinuesAnotherReusesItsIndexAndDraftsTheSame() throws {
    let memory = MemoryHistory(depth: 64)
    var (drafting, fresh) = (Drafting(), Drafting())
    let first = memory.open([1, 2, 3, 1, 2])
    try drafting.step(first, [3, 9])
    first.close(record: true) { _ in }
    let prompt: [Int32] = [1, 2, 3, 1, 2, 3, 9, 4, 1, 2]
    // A session over another history continues none.
    #expect(MemoryHistory(depth: 64).open(prompt, continuing: first).reusedTokens == 0)
    let continuing = memory.open(prompt, share: .never, continuing: first)
    #expect(continuing.reusedTokens == 7)
    // The index was handed over; a second session has to build its own.
    let building = memory.open(prompt, share: .never, continuing: first)
    #expect(building.reusedTokens == 0)
    try drafting.step(continuing)
    try fresh.step(building)
    #expect(drafting.draft == fresh.draft && !drafting.draft.isEmpty)
  }

  /// Damage is reported once, and every call fails until the history is replaced.
  @Test func damageStopsAnswersUntilTheHistoryIsReplaced() throws {
    let memory = MemoryHistory(depth: 8)
    var drafting = Drafting()
    memory.insert([1, 2, 3])
    memory.beginPart()
    try memory.seal()
    let session = memory.open()
    try drafting.step(session, [4, 1, 2])
    memory.history.damageMark?.set()
    for _ in 0..<2 {
      #expect(throws: StoreError.self) { try drafting.step(session, [5]) }
      #expect(throws: StoreError.self) { try drafting.speculate(memory.history, [1]) }
    }
    #expect(memory.keeper.repairs == 1)
    memory.replace()
    try drafting.speculate(memory.history, [1])
    #expect(drafting.draft.tokens.first == 2)
    // What the session accepted meanwhile joins the new history with its next step.
    try drafting.step(session, [6])
    try drafting.speculate(memory.history, [2, 5])
    #expect(drafting.draft.tokens == [5, 6])
  }

  @Test func aClosedHistoryRefusesSteps() throws {
    let memory = MemoryHistory(depth: 8)
    var drafting = Drafting()
    let session = memory.open()
    try drafting.step(session, [1, 2])
    memory.history.close()
    #expect(memory.history.isClosed)
    #expect(throws: StoreError.closed(corpus: "memory")) { try drafting.step(session, [3]) }
    #expect(throws: StoreError.closed(corpus: "memory")) {
      try drafting.speculate(memory.history, [1])
    }
  }

  /// Sessions leave an old part, so that it can be sealed, once a second one waits for sessions too.
  @Test func sessionsMoveOutOfAFullPart() throws {
    let memory = MemoryHistory(depth: 8, sealTokens: 16)
    var drafting = Drafting()
    let (first, second) = (memory.open(), memory.open())
    try drafting.step(first, [1, 2, 3])
    memory.insert((100..<120).map { $0 })
    #expect(try !memory.seal(), "one part waits for one session")
    try drafting.step(second, [4, 5, 6])
    memory.insert((200..<220).map { $0 })
    #expect(try memory.seal() && memory.segmentCount == 0, "the first session moves")
    #expect(try memory.seal() && memory.segmentCount == 1, "the part that it left is sealed")
    #expect(try !memory.seal())
    for _ in 0..<2 {
      try drafting.speculate(memory.history, [1, 2])
      #expect(drafting.draft.tokens == [3])
      first.close(record: true) { _ in }
    }
  }

  @Test func tokensBeyondTheVocabularyAreRefusedWhole() throws {
    let memory = MemoryHistory(depth: 8, vocabulary: 10)
    var drafting = Drafting()
    let session = memory.open([50])
    #expect(
      throws: StoreError.beyondVocabulary(token: 10, vocabulary: 10, sequence: nil, position: 1)
    ) { try drafting.step(session, [1, 10]) }
    #expect(session.outputTokens == 0)
    try drafting.step(session, [9])
    #expect(session.outputTokens == 1)
  }
}
