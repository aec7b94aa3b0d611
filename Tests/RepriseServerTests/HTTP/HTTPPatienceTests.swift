import CorpusStore
import Foundation
import Logging
import NIOCore
import NIOEmbedded
import RepriseModel
import Testing
import WireProtocol

@testable import RepriseServer

/// The time that an HTTP client may take: without sockets, and with a clock that the tests set.
@Suite struct HTTPPatienceTests {
  /// The handlers of one connection.
  private final class Fixture {
    private let directory = NSTemporaryDirectory() + "reprise-\(UUID().uuidString.prefix(8))"
    private let store: Store
    let channel = EmbeddedChannel()

    init(lineSecondsMax: Int = 30) throws {
      store = try Store(path: directory)
      var options = ServiceOptions()
      options.limits.lineSecondsMax = lineSecondsMax
      let application = try Application(
        store, options, Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
      try HTTPListening.addHandlers(
        to: channel.pipeline.syncOperations, application, PrefixDrafter(application))
      try channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
    }

    deinit {
      _ = try? channel.finish(acceptAlreadyClosed: true)
      store.close()
      try? FileManager.default.removeItem(atPath: directory)
    }

    func send(_ text: String) throws { try channel.writeInbound(ByteBuffer(string: text)) }

    /// The answer since the last call.
    func answer() throws -> String {
      var text = ""
      while let part = try channel.readOutbound(as: ByteBuffer.self) {
        text += String(buffer: part)
      }
      return text
    }

    func advance(_ time: TimeAmount) { channel.embeddedEventLoop.advanceTime(by: time) }
  }

  @Test(arguments: [
    "GET /met", "GET /metrics HTTP/1.1\r\nx: ",
    "POST / HTTP/1.1\r\ncontent-length: 9\r\n\r\nabc",
  ]) func aSlowRequestIsRefusedAndItsConnectionClosed(request: String) throws {
    let fixture = try Fixture(lineSecondsMax: 10)
    try fixture.send(request)
    fixture.advance(.milliseconds(9999))
    #expect(try fixture.answer() == "" && fixture.channel.isActive)
    fixture.advance(.milliseconds(1))
    let answer = try fixture.answer()
    #expect(answer.hasPrefix("HTTP/1.1 408 ") && answer.contains("connection: close"))
    // Further bytes are discarded for as long once more.
    try fixture.send("abc")
    #expect(try fixture.answer() == "")
    fixture.advance(.seconds(10))
    #expect(!fixture.channel.isActive)
  }

  @Test func aConnectionThatSendsNothingIsClosed() throws {
    let fixture = try Fixture(lineSecondsMax: 10)
    fixture.advance(.seconds(10))
    #expect(try fixture.answer() == "" && !fixture.channel.isActive)
  }

  /// Bytes that trickle in do not extend the time.
  @Test func tricklingRequestsAreCutOff() throws {
    let fixture = try Fixture(lineSecondsMax: 10)
    try fixture.send("GET /metrics HTTP/1.1\r\nx: ")
    for _ in 0..<9 {
      fixture.advance(.seconds(1))
      try fixture.send("a")
    }
    #expect(try fixture.answer() == "")
    fixture.advance(.seconds(1))
    #expect(try fixture.answer().hasPrefix("HTTP/1.1 408 "))
  }

  @Test func aConnectionWithoutFurtherRequestsIsClosed() throws {
    let fixture = try Fixture()
    try fixture.send("GET /health/live HTTP/1.1\r\nhost: a\r\n\r\n")
    #expect(try fixture.answer().hasSuffix("\r\n\r\nlive\n"))
    fixture.advance(.seconds(299))
    #expect(fixture.channel.isActive)
    fixture.advance(.seconds(1))
    #expect(!fixture.channel.isActive)
  }
}
