import CorpusStore
import Foundation
import Logging
import NIOCore
import NIOPosix
import RepriseClient
import RepriseModel
import TestSupport
import Testing
import WireProtocol

@testable import RepriseServer

/// The requests of one connection, however large, delay others by one quantum at most, and are
/// still answered in their order.
@Suite struct QuantumTests {
  private static let contexts: [[Int32]] = (0..<4096).map { [Int32($0 % 50), Int32($0 % 50 + 1)] }

  /// Drafts that are interrupted by quanta after each of them equal those that are made at once.
  @Test func quantaLeaveNoTrace() async throws {
    let fixture = try await ServiceFixture()
    _ = try await fixture.client.insert(
      [sequence((0..<200).map { $0 % 60 })], into: "c")
    let corpus = try #require(try fixture.store.corpus(named: "c"))
    let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    let application = try Application(fixture.store, ServiceOptions(), logger)
    var caller = application.newCaller()
    let call = Speculate(corpus: "c", contexts: Array(Self.contexts.prefix(100)))

    var whole = JSONWriter()
    var run = DraftRun(call, of: corpus)
    #expect(try run.write(to: &whole, for: &caller, until: .distantFuture))

    var cut = JSONWriter()
    run = DraftRun(call, of: corpus)
    var quanta = 1
    while try !run.write(to: &cut, for: &caller, until: .now()) { quanta += 1 }
    #expect(quanta == 100)
    #expect(cut.bytes == whole.bytes)
    try await fixture.stop()
  }

  /// On one event loop, a small request is answered before a large one that came first.
  @Test func lightConnectionsDoNotWaitForHeavyOnes() throws {
    let fixture = try LineFixture()
    try fixture.store.createCorpus(named: "c", CorpusSettings()).insert([
      sequence((0..<5000).map { $0 % 60 })
    ])
    // Of two new connections the older one has used less.
    let (light, heavy) = (try fixture.connect(), try fixture.connect())
    // A line that the event loop reads itself, and milliseconds of drafts.
    let call = Speculate(
      corpus: "c", contexts: (0..<3000).map { [Int32($0 % 60)] },
      options: DraftOptions(maxTokens: 8, maxFactor: 64, tree: true))
    try heavy.send(.speculate(call))
    #expect(try heavy.sent() == "", "the quantum is over before the drafts are complete")
    try light.send(.healthLive)
    #expect(try light.sent().contains("true"))
    #expect(fixture.workNext())
    #expect(try heavy.sent() == "")
    #expect(try heavy.answer().hasPrefix("{\"jsonrpc\":\"2.0\",\"id\":1,\"result\""))
  }

  /// An array of requests is divided into quanta as well, and later requests come after it.
  @Test func arraysAreCutIntoQuanta() throws {
    let fixture = try LineFixture()
    try fixture.store.createCorpus(named: "c", CorpusSettings()).insert([
      sequence((0..<500).map { $0 % 60 })
    ])
    let client = try fixture.connect()
    let call = Speculate(corpus: "c", contexts: Array(Self.contexts.prefix(20)))
    let requests = (Int64(1)...40).map { LineChannel.line(.speculate(call), id: $0).dropLast() }
    try client.send("[" + requests.joined(separator: ",") + "]\n")
    try client.send(.healthLive, id: 41)
    client.endSending()
    #expect(try client.sent() == "" && client.isOpen)
    // 800 drafts take more than that.
    #expect(fixture.work() > 2)
    let lines = try client.answer().split(separator: "\n")
    #expect(lines.count == 2 && !client.isOpen)
    #expect(lines.first?.hasPrefix("[") == true)
    #expect(lines.first?.components(separatedBy: "\"jsonrpc\"").count == 41)
    #expect(lines.last?.contains("\"id\":41") == true)
  }

  /// An array that another thread reads is answered in its order too.
  @Test func longArraysAreAnsweredBeforeLaterRequests() async throws {
    let fixture = try await ServiceFixture()
    _ = try await fixture.client.insert(
      [sequence((0..<500).map { $0 % 60 })], into: "c")
    let connection = try LineConnection(fixture.socket)
    let requests = (Int64(1)...200).map { id in
      String(
        LineChannel.line(
          .speculate(Speculate(corpus: "c", contexts: Array(Self.contexts.prefix(20)))), id: id
        ).dropLast())
    }
    connection.send(
      "[" + requests.joined(separator: ",") + "]\n" + LineChannel.line(.healthLive, id: 201))
    connection.endSending()
    let answer = connection.line() ?? ""
    #expect(answer.hasPrefix("[") && answer.components(separatedBy: "\"jsonrpc\"").count == 201)
    #expect(connection.line()?.contains("\"id\":201") == true)
    #expect(connection.line() == nil)
    try await fixture.stop()
  }

  /// Steps of one session are carried out in the order in which they were sent, also if a line is
  /// so long that another thread reads it.
  @Test func stepsKeepTheirOrderAcrossLongLines() async throws {
    let fixture = try await ServiceFixture()
    let connection = try LineConnection(fixture.socket)
    #expect(
      connection.ask(.sessionOpen(SessionOpen(corpus: "c", session: "s", prompt: [])))
        .contains("result"))
    let output = (0..<60_000).map { Int32($0) }
    var long = SessionStep()
    long.append(session: "s", accept: Array(output[..<40_000]))
    var short = SessionStep()
    short.append(session: "s", accept: Array(output[40_000...]))
    for id in Int64(0)..<2 {
      connection.send(LineChannel.line(.sessionStep(id == 0 ? long : short), id: id))
    }
    connection.send(LineChannel.line(.sessionClose(SessionClose(session: "s")), id: 2))
    for id in 0..<3 { #expect(connection.line()?.contains("\"id\":\(id),") == true) }
    let corpus = try #require(try fixture.store.corpus(named: "c"))
    var recorded: [Int32] = []
    try corpus.forEachSequence { sequence in
      recorded = sequence.output
      return true
    }
    #expect(recorded == output)
    try await fixture.stop()
  }

  private static let microsecond = TimeAmount.microseconds(1)

  /// Connections of equal use alternate, and between two quanta the event loop polls its sockets,
  /// of which another queue's wake-up is one.
  @Test func quantaAlternateAndLeaveRoomForOthers() async throws {
    let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    let loop = group.next()
    let (queues, others) = (try await UsageQueues(group), try await UsageQueues(group))
    let order = NIOLoopBoundBox<[Int]>.makeBoxSendingValue([], eventLoop: loop)
    let other = -1
    let done = loop.makePromise(of: Void.self)
    try await loop.submit {
      for number in 0..<3 {
        var use = RecentUse()
        func add() {
          use.add(Self.microsecond, now: .now())
          queues.queue(of: loop).add(use, work)
        }
        func work() {
          order.value.append(number)
          if number == 0 {
            others.queue(of: loop).add(RecentUse()) { order.value.append(other) }
          }
          if order.value.count < 100 { add() } else { done.succeed() }
        }
        add()
      }
    }.get()
    try await done.futureResult.get()
    let seen = try await loop.submit { order.value }.get()
    #expect(seen.filter { $0 != other }.enumerated().allSatisfy { $0.offset % 3 == $0.element })
    for (position, number) in seen.dropLast(3).enumerated() where number == 0 {
      #expect(seen[position...].prefix(3).contains(other), "\(seen)")
    }
    try await group.shutdownGracefully()
  }

  @Test func connectionWithTheLeastUseIsNext() {
    var wakeUps = 0
    let queue = UsageQueue { wakeUps += 1 }
    let start = NIODeadline.now()
    var order: [Int] = []
    // 3 has used the same as 2, but two half-lives ago.
    for (number, (time, age)) in [(4, 0), (0, 0), (2, 0), (2, 2)].enumerated() {
      var use = RecentUse()
      if time > 0 { use.add(.milliseconds(Int64(time)), now: start - .seconds(Int64(age))) }
      queue.add(use) { order.append(number) }
    }
    var use = RecentUse()
    #expect(!queue.wouldBeNext(use), "another connection waits that has used nothing either")
    use.add(.seconds(1), now: start)
    #expect(!queue.wouldBeNext(use))
    // One wake-up at a time: each is for one quantum.
    for number in 1...4 {
      #expect(wakeUps == number)
      queue.workNext()
      #expect(order.count == number)
    }
    #expect(wakeUps == 4 && order == [1, 3, 2, 0])
  }

  @Test func newConnectionsCountAsTheHeaviest() {
    let queue = UsageQueue {}
    var (much, little) = (queue.useOfNewcomers, queue.useOfNewcomers)
    queue.note(.milliseconds(1), by: &little)
    queue.note(.milliseconds(100), by: &much)
    #expect(queue.useOfNewcomers == much)
    queue.note(.microseconds(1), by: &little)
    #expect(queue.useOfNewcomers == much)
  }

  /// Light connections have longer quanta, and reconnecting does not obtain them.
  @Test func quantaAreLongForThoseWhoSeldomAsk() {
    let queue = UsageQueue {}
    let now = NIODeadline.now()
    func quantum(_ share: Double) -> TimeAmount {
      queue.quantum(of: RecentUse(share: share, now: now), now: now)
    }
    #expect(quantum(0.05) > quantum(0.15) && quantum(0.15) == quantum(0.9))
    let use = queue.useOfNewcomers
    #expect(queue.quantum(of: use, now: now) == quantum(0.9))
    #expect(queue.quantum(of: use, now: now + .seconds(2)) == quantum(0.05))
  }

  @Test func halfOfWhatIsUsedFadesInASecond() {
    let start = NIODeadline.now()
    var (steady, once) = (RecentUse(), RecentUse())
    for second in 0..<60 { steady.add(.milliseconds(1), now: start + .seconds(Int64(second))) }
    #expect(abs(steady.share(now: start + .seconds(59)) - 2e-3 * log(2)) < 1e-6)
    #expect(RecentUse().share(now: start) == 0)
    // 1 + 1/2 + 1/4 + …
    once.add(.microseconds(1999), now: start + .seconds(59))
    #expect(once < steady)
    once.add(.microseconds(2), now: start + .seconds(59))
    #expect(steady < once)
  }
}
