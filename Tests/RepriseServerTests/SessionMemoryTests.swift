import Concurrency
import CorpusStore
import Dispatch
import HistoryEngine
import Logging
import NIOCore
import RepriseModel
import Testing
import WireProtocol

@testable import RepriseServer

/// Memory of sessions: reserved before a prompt is indexed, and returned when sessions are closed.
@Suite struct SessionMemoryTests {
  private static let prompt = [Int32](0..<500)

  private static func parked(
    _ memory: MemoryBudget, _ freeing: WorkQueue, bytesToFreeMax: Int = 32 << 20
  ) -> (ParkedSessions, SessionTable) {
    let options = ServiceOptions()
    let parked = ParkedSessions(
      options, memory, freeing: freeing, bytesToFreeMax: bytesToFreeMax)
    return (parked, SessionTable(.ofService(options.limits), parked))
  }

  private static func corpus(_ fixture: ServiceFixture) throws -> Corpus {
    try #require(try fixture.store.corpus(named: "c"))
  }

  @Test func closedSessionsTakeABoundedPartOfMemoryForABoundedTime() async throws {
    let fixture = try await ServiceFixture()
    let corpus = try Self.corpus(fixture)
    let memory = MemoryBudget(limit: 16 << 20, measuredBy: { 0 })
    let freeing = WorkQueue("test-freeing")
    let (parked, table) = Self.parked(memory, freeing)
    let now = NIODeadline.now()
    let each = corpus.openSession(prompt: Self.prompt).bytes
    let fit = (2 << 20) / each
    #expect((2..<200).contains(fit))
    for number in 0..<(fit + 5) {
      parked.add(
        corpus.openSession(prompt: Self.prompt), "\(number)", tokens: 500, of: table, at: now)
    }
    #expect(parked.bytes <= 2 << 20 && parked.count == fit)
    #expect(parked.find("4", of: table) == nil && parked.find("5", of: table) != nil)
    // Memory is short: the oldest go first.
    // What two take: one may take some bytes more than another.
    parked.remove(bytes: each + each / 2)
    #expect(parked.count == fit - 2)
    #expect(parked.find("6", of: table) == nil && parked.find("7", of: table) != nil)
    parked.removeExpired(at: now + .seconds(44))
    #expect(parked.count == fit - 2)
    parked.removeExpired(at: now + .seconds(45))
    #expect(parked.count == 0 && parked.bytes == 0)
    await freeing.stop()
    try await fixture.stop()
  }

  /// Sessions to be freed by a thread of low priority must not accumulate there.
  @Test func sessionsAreFreedWhereFreeingFallsBehind() async throws {
    final class Weak {
      weak var session: DecodingSession?
      init(_ session: DecodingSession) { self.session = session }
    }
    let fixture = try await ServiceFixture()
    let corpus = try Self.corpus(fixture)
    let freeing = WorkQueue("test-freeing")
    let goOn = DispatchSemaphore(value: 0)
    freeing.run { goOn.wait() }
    let (each, many) = (corpus.openSession(prompt: Self.prompt).bytes, 40)
    let (parked, table) = Self.parked(
      MemoryBudget(limit: 16 << 20, measuredBy: { 0 }), freeing, bytesToFreeMax: 10 * each)
    var seen: [Weak] = []
    for number in 0..<many {
      let session = corpus.openSession(prompt: Self.prompt)
      seen.append(Weak(session))
      parked.add(session, "\(number)", tokens: 500, of: table)
    }
    let kept = parked.count
    parked.remove(bytes: .max)
    #expect(parked.count == 0)
    let alive = seen.count { $0.session != nil }
    #expect(alive <= 10, "\(alive) of \(many) wait to be freed, \(kept) were kept")
    goOn.signal()
    await freeing.stop()
    try await fixture.stop()
  }

  /// Waiting prompts have reserved their memory already, so that many at once are not all admitted
  /// by the same reading of the memory in use.
  @Test func promptsThatComeTogetherDoNotPassTogether() async throws {
    let fixture = try await ServiceFixture()
    let (prompt, fit) = ([Int32](repeating: 1, count: 5000), 4)
    let bytes = DecodingSession.bytesToOpen(promptTokens: prompt.count)
    var storeOptions = StoreOptions()
    storeOptions.memory = MemoryBudget(limit: bytes * fit / 15 * 16 + 64, measuredBy: { 0 })
    let store = try Store(path: fixture.directory + "/small", options: storeOptions)
    _ = try store.createCorpus(named: "c", CorpusSettings())
    let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    let application = try Application(store, ServiceOptions(), logger)
    let goOn = DispatchSemaphore(value: 0)
    application.threads.prompts.run { goOn.wait() }
    var caller = application.newCaller()
    var refusals: [WireError] = []
    for _ in 0..<(2 * fit) {
      do throws(WireError) {
        let call = Call.sessionOpen(
          SessionOpen(corpus: "c", prompt: prompt, share: .never))
        guard case .later(let result) = try application.answer(call, for: &caller) else {
          Issue.record("a long prompt is indexed off the event loop")
          continue
        }
        result.request { _ in }
      } catch {
        refusals.append(error)
      }
    }
    #expect(refusals.count == fit && refusals.allSatisfy { $0.kind == .busy })
    #expect(refusals.first?.message.contains("memory_bytes allows") == true)
    goOn.signal()
    await withCheckedContinuation { continuation in
      application.threads.prompts.run { continuation.resume() }
    }
    store.close()
    try await fixture.stop()
  }

  /// A session whose group does not fit into memory is refused, and leaves nothing: its name is free.
  @Test func aGroupThatDoesNotFitLeavesTheNameFree() async throws {
    let fixture = try await ServiceFixture()
    var storeOptions = StoreOptions()
    storeOptions.memory = MemoryBudget(limit: 1 << 20, measuredBy: { 0 })
    let store = try Store(path: fixture.directory + "/small", options: storeOptions)
    let corpus = try store.createCorpus(named: "c", CorpusSettings())
    try corpus.insert([NewSequence(group: "g", tokens: [Int32](0..<20_000))])
    let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    let application = try Application(store, ServiceOptions(), logger)
    var caller = application.newCaller()
    var kinds: [ErrorKind?] = []
    for group in ["g", "g", "other"] {
      let call = SessionOpen(corpus: "c", session: "s", prompt: [1, 2], group: group)
      guard case .later(let result) = try application.answer(.sessionOpen(call), for: &caller)
      else {
        Issue.record("a group is read off the event loop")
        continue
      }
      let kind: ErrorKind? = await withCheckedContinuation { continuation in
        result.request { result in
          if case .failure(let error) = result {
            continuation.resume(returning: error.kind)
          } else {
            continuation.resume(returning: nil)
          }
        }
      }
      kinds.append(kind)
    }
    #expect(kinds == [.busy, .busy, nil])
    store.close()
    try await fixture.stop()
  }
}
