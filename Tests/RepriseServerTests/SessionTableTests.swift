import Concurrency
import CorpusStore
import HistoryEngine
import Logging
import NIOCore
import RepriseModel
import Testing
import WireProtocol

@testable import RepriseServer

@Suite struct SessionTableTests {
  /// A closing session's name stays taken, whatever else tries to end it; and one that is parked
  /// late does not remove another one.
  @Test func aSessionThatClosesKeepsItsNameUntilItIsClosed() async throws {
    let fixture = try await ServiceFixture()
    let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    let application = try Application(fixture.store, ServiceOptions(), logger)
    let caller = application.newCaller()
    let table = try #require(caller.principal).sessions
    func open() throws {
      let call = SessionOpen(corpus: "c", session: "a", prompt: [1], share: .live)
      _ = try application.sessions.opened(call, in: table, for: caller.owner)
    }
    try open()
    let session = try #require(table.session("a"))
    var scratch = DraftScratch()
    var draft = Draft()
    try session.step(accepting: [2, 3].span, DraftOptions(), using: &scratch, into: &draft)
    let removal = Locked<(@Sendable () -> Void)?>(nil)
    session.close(
      record: false, removing: { remove in removal.withLock { $0 = remove } },
      completion: { _ in table.park(session, "a") })

    // Its lease ends in the meantime.
    application.sessions.close(endingBy: .distantFuture)
    #expect(throws: WireError.self) { try open() }
    removal.withLock { $0 }?()
    #expect(table.session("a") == nil)
    try open()
    table.park(session, "a")
    #expect(table.session("a") != nil)
    try await fixture.stop()
  }
}
