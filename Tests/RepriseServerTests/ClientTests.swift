import Foundation
import Glibc
import NIOCore
import NIOPosix
import RepriseClient
import Testing
import WireProtocol

/// The client with services that are slow, gone or faulty.
@Suite struct ClientTests {
  /// Listens on a socket and answers each read with a given answer.
  final class FakeService {
    let path = NSTemporaryDirectory() + "reprise-\(UUID().uuidString.prefix(8))"
    private let channel: any Channel

    init(at path: String? = nil, answering answer: @escaping @Sendable (String) -> String?)
      async throws
    {
      let path = path ?? self.path
      channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
        .childChannelInitializer { channel in
          channel.eventLoop.makeCompletedFuture {
            try channel.pipeline.syncOperations.addHandler(Handler(answer))
          }
        }
        .bind(unixDomainSocketPath: path, cleanupExistingSocketFile: true).get()
    }

    func stop() async throws {
      try await channel.close().get()
      unsafe unlink(path)
    }

    private final class Handler: ChannelInboundHandler {
      typealias InboundIn = ByteBuffer
      typealias OutboundOut = ByteBuffer
      private let answer: @Sendable (String) -> String?
      private var received = ""
      init(_ answer: @escaping @Sendable (String) -> String?) { self.answer = answer }

      func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        // Whole lines only: a read may end anywhere.
        received += String(buffer: unwrapInboundIn(data))
        guard let end = received.lastIndex(of: "\n") else { return }
        let lines = String(received[...end])
        received.removeSubrange(...end)
        guard let answer = answer(lines) else {
          context.close(promise: nil)
          return
        }
        context.writeAndFlush(wrapOutboundOut(ByteBuffer(string: answer)), promise: nil)
      }
    }
  }

  func error(_ body: () async throws(ClientError) -> Void) async -> ClientError? {
    do throws(ClientError) {
      try await body()
      return nil
    } catch {
      return error
    }
  }

  @Test func aSlowServiceCostsTheDeadlineAndNoMore() async throws {
    let service = try await FakeService { _ in "" }
    let client = RepriseClient(.unixSocket(path: service.path), configuration: .patient)
    #expect(
      await error { () async throws(ClientError) in
        _ = try await client.isLive(deadline: .milliseconds(20))
      } == .deadlineExceeded)
    await client.close()
    try await service.stop()
  }

  @Test func aServiceThatHangsUpFailsTheCallAndTheNextConnectsAgain() async throws {
    let service = try await FakeService { _ in nil }
    let client = RepriseClient(.unixSocket(path: service.path), configuration: .patient)
    for _ in 0..<3 {
      #expect(
        await error { () async throws(ClientError) in _ = try await client.isLive() }
          == .disconnected)
    }
    await client.close()
    #expect(
      await error { () async throws(ClientError) in _ = try await client.isLive() } == .closed)
    try await service.stop()
  }

  @Test(arguments: [
    "garbage\n", "{}\n", "[]\n", "{\"id\":1}\n", "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":7}\n",
  ]) func aLyingServiceIsHungUpOn(answer: String) async throws {
    let service = try await FakeService { _ in answer }
    let client = RepriseClient(.unixSocket(path: service.path), configuration: .patient)
    #expect(
      await error { () async throws(ClientError) in _ = try await client.isLive() }
        == .disconnected)
    await client.close()
    try await service.stop()
  }

  @Test func anAnswerOfAnotherShapeIsMalformed() async throws {
    let service = try await FakeService { _ in
      "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"no\":1}}\n"
    }
    let client = RepriseClient(.unixSocket(path: service.path), configuration: .patient)
    #expect(
      await error { () async throws(ClientError) in _ = try await client.isLive() }
        == .malformedAnswer)
    await client.close()
    try await service.stop()
  }

  @Test func answersFindTheirCallsInAnyOrder() async throws {
    let service = try await FakeService { text in
      // Answered in reverse order, with the id in place of a number to check.
      text.split(separator: "\n").reversed().map { line in
        let id = line.split(separator: "\"id\":")[1].prefix { $0 != "," }
        return "{\"jsonrpc\":\"2.0\",\"id\":\(id),\"result\":{\"ok\":true,\"awaited\":[]}}\n"
      }.joined()
    }
    let client = RepriseClient(.unixSocket(path: service.path), configuration: .patient)
    try await withThrowingTaskGroup(of: Bool.self) { group in
      for _ in 0..<500 { group.addTask { try await client.isLive().ok } }
      for try await ok in group { #expect(ok) }
    }
    await client.close()
    try await service.stop()
  }

  @Test func aDeadServiceCostsNothingUntilItIsBack() async throws {
    let path = NSTemporaryDirectory() + "reprise-\(UUID().uuidString.prefix(8))"
    var configuration = RepriseClient.Configuration()
    configuration.reconnectDelay = .milliseconds(1)
    configuration.reconnectDelayMax = .milliseconds(2)
    let client = RepriseClient(.unixSocket(path: path), configuration: configuration)
    guard
      case .unavailable = await error({ () async throws(ClientError) in
        _ = try await client.isLive()
      })
    else {
      Issue.record("no process listens there")
      return
    }
    let service = try await FakeService(at: path) { text in
      text.split(separator: "\n").map { line in
        let id = line.split(separator: "\"id\":")[1].prefix { $0 != "," }
        return "{\"jsonrpc\":\"2.0\",\"id\":\(id),\"result\":{\"ok\":true,\"awaited\":[]}}\n"
      }.joined()
    }
    // The client tries again as soon as the delay is over.
    while await error({ () async throws(ClientError) in _ = try await client.isLive() }) != nil {}
    await client.close()
    try await service.stop()
  }
}
