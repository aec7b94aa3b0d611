import NIOCore
import RepriseModel
import Testing
import WireProtocol

@testable import RepriseServer

/// The time that a client of the line protocol may take: without sockets, and with a clock that the
/// tests set.
@Suite struct LinePatienceTests {
  /// The longest time between two looks at a connection.
  private static let period = TimeAmount.seconds(5)

  @Test func aLineMustEndInTime() throws {
    let fixture = try LineFixture { $0.lineSecondsMax = 20 }
    let client = try fixture.connect()
    try client.send(.healthLive)
    #expect(try client.answer().contains("\"ok\":true"))
    fixture.advance(.seconds(40))
    try client.send("{\"jsonrpc\":")
    fixture.advance(.seconds(20))
    #expect(try client.answer() == "" && client.isOpen)
    fixture.advance(Self.period)
    #expect(try client.exceeds("line_seconds") && !client.isOpen)
  }

  /// A long line that comes while memory is short waits for memory, and is then answered.
  @Test func aLongLineWaitsForMemory() throws {
    let fixture = try LineFixture { $0.lineSecondsMax = 20 }
    let client = try fixture.connect()
    let padding = String(repeating: " ", count: Service.eventLoopLineBytes + 1)
    var others = fixture.takeAllMemory()
    #expect(others != nil)
    try client.send(padding)
    for _ in 0..<10 {
      fixture.advance(.seconds(1))
      #expect(try client.answer() == "" && client.isOpen && !client.isBeingRead)
    }
    // A short line needs no memory.
    let short = try fixture.connect()
    try short.send(.healthLive)
    #expect(try short.answer().contains("\"ok\":true") && short.isBeingRead)
    others = nil
    fixture.advance(.seconds(1))
    #expect(client.isOpen && client.isBeingRead)
  }

  /// A line that waits for memory in vain is refused with the reason.
  @Test func aLongLineDoesNotWaitForMemoryForever() throws {
    let fixture = try LineFixture { $0.lineSecondsMax = 20 }
    let client = try fixture.connect()
    let others = fixture.takeAllMemory()
    try client.send(String(repeating: " ", count: Service.eventLoopLineBytes + 1))
    fixture.advance(.seconds(20))
    #expect(try client.answer() == "" && client.isOpen)
    fixture.advance(Self.period)
    let answer = try client.answer()
    #expect(answer.contains("\"kind\":\"busy\"") && answer.contains("has reserved"))
    #expect(!client.isOpen)
    withExtendedLifetime(others) {}
  }

  /// Bytes that trickle in do not extend the time, and a line that ends in time does.
  @Test func tricklingLinesAreCutOff() throws {
    let fixture = try LineFixture { $0.lineSecondsMax = 20 }
    let client = try fixture.connect()
    for _ in 0..<15 {
      try client.send(" ")
      fixture.advance(.seconds(1))
    }
    try client.send(.healthLive)
    #expect(try client.answer().contains("\"ok\":true"))
    for _ in 0..<20 {
      try client.send(" ")
      fixture.advance(.seconds(1))
    }
    #expect(client.isOpen)
    try client.send(" ")
    fixture.advance(Self.period)
    #expect(try client.exceeds("line_seconds") && !client.isOpen)
  }

  @Test func aConnectionWithoutRequestsIsClosed() throws {
    let fixture = try LineFixture { $0.idleSecondsMax = 300 }
    let client = try fixture.connect()
    fixture.advance(.seconds(200))
    try client.send(.healthLive)
    #expect(try client.answer().contains("\"ok\":true"))
    fixture.advance(.seconds(300))
    #expect(client.isOpen)
    fixture.advance(Self.period)
    #expect(try client.answer() == "" && !client.isOpen)
  }

  /// Requests of a client that does not read wait, and are answered when it reads again in time.
  @Test func clientsThatDoNotReadAreDisconnected() throws {
    let fixture = try LineFixture { $0.answerSecondsMax = 20 }
    let client = try fixture.connect()
    for isLate in [false, true] {
      client.setReading(false)
      try client.send(.healthLive)
      fixture.advance(.seconds(20))
      #expect(try client.answer() == "" && client.isOpen)
      if isLate { break }
      client.setReading(true)
      #expect(try client.answer().contains("\"ok\":true"))
    }
    fixture.advance(Self.period)
    #expect(try client.answer() == "" && !client.isOpen)
  }

  @Test func aTokenMustBePresentedInTime() throws {
    let fixture = try LineFixture(needsToken: true) { $0.lineSecondsMax = 20 }
    let client = try fixture.connect()
    for _ in 0..<20 {
      try client.send(.healthLive)
      fixture.advance(.seconds(1))
    }
    #expect(try client.answer().contains("\"ok\":true") && client.isOpen)
    fixture.advance(Self.period)
    #expect(try client.answer().contains("\"unauthorized\"") && !client.isOpen)
    let known = try fixture.connect()
    try known.send(.serverAuthenticate(ServerAuthenticate(token: LineFixture.token)))
    #expect(try known.answer().contains("\"holder\""))
    fixture.advance(.seconds(40))
    #expect(known.isOpen)
  }

  /// What went wrong: connections beyond the limit were kept, and no client could connect any more.
  @Test func connectionsBeyondTheLimitAreNotKept() throws {
    let fixture = try LineFixture()
    let client = try fixture.connect(isBeyondLimit: true)
    for _ in 0..<3 {
      fixture.advance(.seconds(5))
      try client.send(.corpusList)
      #expect(try client.answer().contains("corpora"))
    }
    fixture.advance(.seconds(5))
    #expect(client.isOpen)
    fixture.advance(.seconds(1))
    #expect(try client.exceeds("connections") && !client.isOpen)
  }

  @Test func connectionsBeyondTheLimitMakeCallsOfOperatorsAlone() throws {
    let fixture = try LineFixture()
    let client = try fixture.connect(isBeyondLimit: true)
    try client.send(.sessionOpen(SessionOpen(corpus: "c", prompt: [])))
    #expect(try client.exceeds("connections") && !client.isOpen)
  }
}
