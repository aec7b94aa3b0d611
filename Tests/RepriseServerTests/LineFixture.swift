import Access
import CorpusStore
import Foundation
import Logging
import NIOCore
import NIOEmbedded
import RepriseModel
import Testing
import WireProtocol

@testable import RepriseServer

/// Connections of the line protocol on one event loop: without sockets, with quanta that begin when
/// the test lets them, and with a clock that the test sets. Only calls that are answered on the
/// event loop may be made.
final class LineFixture {
  static let token = "rp_token"

  private let directory = NSTemporaryDirectory() + "reprise-\(UUID().uuidString.prefix(8))"
  private let loop = EmbeddedEventLoop()
  private let transport: LineTransport
  private let queue: UsageQueue
  private let wakeUps = WakeUps()
  private var channels: [EmbeddedChannel] = []
  let store: Store

  private final class WakeUps {
    var count = 0
  }

  /// - Parameter needsToken: True if there is an access file. It has one token, to draft from
  ///   corpus "c".
  init(needsToken: Bool = false, _ change: (inout Limits) -> Void = { _ in }) throws {
    store = try Store(path: directory)
    var options = ServiceOptions()
    change(&options.limits)
    if needsToken {
      options.accessFile = directory + "/access.json"
      try AccessFile.add(
        AccessFile.Entry(
          grant: Grant(
            name: "holder", corpora: [CorpusPattern("c")].compactMap { $0 },
            rights: try Rights(names: ["draft"])),
          digest: TokenDigest(token: Self.token)),
        to: directory + "/access.json")
    }
    let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    transport = LineTransport(try Application(store, options, logger), logger)
    queue = UsageQueue { [wakeUps] in wakeUps.count += 1 }
  }

  deinit {
    for channel in channels { _ = try? channel.finish(acceptAlreadyClosed: true) }
    store.close()
    try? FileManager.default.removeItem(atPath: directory)
  }

  /// Reserves all memory for other work, until the result is released.
  func takeAllMemory() -> MemoryBudget.Reservation? {
    store.memory.reserve(store.memory.limit, for: .merging, isUrgent: true)
  }

  func connect(isBeyondLimit: Bool = false) throws -> LineChannel {
    let handler = ConnectionHandler(transport, queue, on: loop, isBeyondLimit: isBeyondLimit)
    let reads = ReadCount()
    let channel = EmbeddedChannel(handlers: [reads, handler], loop: loop)
    channels.append(channel)
    try channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
    return LineChannel(self, channel, reads)
  }

  /// Sets the clock forward, after connections have done what they can.
  func advance(_ time: TimeAmount) {
    work()
    loop.advanceTime(by: time)
  }

  /// Lets one connection work for a quantum. Returns false if none waits.
  func workNext() -> Bool {
    if wakeUps.count == 0 { return false }
    wakeUps.count -= 1
    queue.workNext()
    return true
  }

  /// Lets connections work until none waits. Returns the number of quanta.
  @discardableResult
  func work() -> Int {
    var quanta = 0
    while workNext() { quanta += 1 }
    return quanta
  }
}

/// The client's side of a connection of `LineFixture`.
struct LineChannel {
  private let fixture: LineFixture
  private let channel: EmbeddedChannel
  private let reads: ReadCount

  fileprivate init(_ fixture: LineFixture, _ channel: EmbeddedChannel, _ reads: ReadCount) {
    self.fixture = fixture
    self.channel = channel
    self.reads = reads
  }

  /// True if the service asks for further bytes when a read is over.
  var isBeingRead: Bool {
    let before = reads.count
    channel.read()
    return reads.count > before
  }

  var isOpen: Bool { channel.isActive }

  func send(_ text: String) throws { try channel.writeInbound(ByteBuffer(string: text)) }

  func send(_ call: Call, id: Int64 = 1) throws { try send(Self.line(call, id: id)) }

  static func line(_ call: Call, id: Int64 = 1) -> String {
    var writer = JSONWriter()
    Request(id: .number(id), call: call).write(to: &writer)
    return String(decoding: writer.bytes, as: UTF8.self)
  }

  /// The bytes that were sent to the client and not taken yet, when no connection has work left.
  func answer() throws -> String {
    fixture.work()
    return try sent()
  }

  /// The bytes that were sent to the client and not taken yet.
  func sent() throws -> String {
    var text = ""
    while let part = try channel.readOutbound(as: ByteBuffer.self) { text += String(buffer: part) }
    return text
  }

  /// True if the answer since the last call is an error that names a limit.
  func exceeds(_ limit: String) throws -> Bool {
    let answer = try answer()
    return answer.contains("\"kind\":\"limit_exceeded\"")
      && answer.contains("\"limit\":\"\(limit)\"")
  }

  /// Has the client read its answers, or not.
  func setReading(_ isReading: Bool) {
    channel.isWritable = isReading
    channel.pipeline.fireChannelWritabilityChanged()
  }

  func endSending() { channel.pipeline.fireUserInboundEventTriggered(ChannelEvent.inputClosed) }
}

/// Counts the times that bytes are asked for.
private final class ReadCount: ChannelOutboundHandler {
  typealias OutboundIn = ByteBuffer
  private(set) var count = 0

  func read(context: ChannelHandlerContext) {
    count += 1
    context.read()
  }
}
