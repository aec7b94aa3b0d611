import NIOCore
import NIOPosix
import Synchronization
import WireProtocol

/// The one connection of a client, as its callers see it. All work is done on one event loop.
final class Link: Sendable {
  private let loop: any EventLoop
  private let connection: NIOLoopBoundBox<Connection>
  private let lineBytes = KnownLineBytes()

  init(
    _ address: RepriseClient.Address, _ configuration: RepriseClient.Configuration,
    _ loop: any EventLoop
  ) {
    self.loop = loop
    connection = .makeBoxSendingValue(
      Connection(address, configuration, loop, lineBytes), eventLoop: loop)
  }

  /// Bytes of the longest line that the service's event loop reads itself, once the service has
  /// reported it; unlimited before.
  var eventLoopLineBytes: Int { lineBytes.value.load(ordering: .relaxed) }

  /// Sends a call and waits for its answer, at most until the deadline.
  func call<Answer: WireResult>(
    _ call: Call, deadline: Duration
  ) async -> Result<Answer, ClientError> {
    await calls([call], deadline: deadline)[0]
  }

  /// Sends calls one after the other and waits for all of their answers.
  func calls<Answer: WireResult>(
    _ calls: [Call], deadline: Duration
  ) async -> [Result<Answer, ClientError>] {
    await withCheckedContinuation { continuation in
      loop.execute { [connection] in
        var answers: [Int: Result<Answer, ClientError>] = [:]
        for (place, call) in calls.enumerated() {
          connection.value.begin(call, deadline) { result in
            answers[place] = result.flatMap { object in
              Answer(result: object).map(Result.success) ?? .failure(.malformedAnswer)
            }
            if answers.count < calls.count { return }
            continuation.resume(returning: calls.indices.compactMap { answers[$0] })
          }
        }
      }
    }
  }

  func close() async {
    let channel: (any Channel)? = await withCheckedContinuation { continuation in
      loop.execute { [connection] in continuation.resume(returning: connection.value.close()) }
    }
    try? await channel?.close().get()
  }
}

/// The bytes of the longest line that the service reads at once, as it has told.
private final class KnownLineBytes: Sendable {
  let value = Atomic(Int.max)
}

/// The calls under way on a connection, and the connection itself, which is made when it is needed.
///
/// Everything here is confined to one event loop: calls arrive by `execute`, answers through the
/// channel's handler, deadlines as scheduled tasks of the loop.
private final class Connection {
  private let address: RepriseClient.Address
  private let configuration: RepriseClient.Configuration
  private let loop: any EventLoop
  private let lineBytes: KnownLineBytes

  private enum State {
    case idle
    /// Calls wait here until the connection is established.
    case connecting([() -> Void])
    case connected(any Channel)
    /// The last attempt failed; the next is made after the deadline.
    case waiting(until: NIODeadline, reason: String)
    case closed
  }

  private struct Pending {
    let answer: (Result<ResultObject, ClientError>) -> Void
    let deadline: Scheduled<Void>
  }

  private var state = State.idle
  private var pending: [Int64: Pending] = [:]
  private var lastID: Int64 = 0
  private var writer = JSONWriter()
  private var failures = 0
  /// Created for the first connection.
  private var tls: TLSContext?

  /// The id of the request that presents the access token.
  private static let authenticationID: Int64 = 0
  /// The id of the request that asks for `eventLoopLineBytes`.
  private static let infoID: Int64 = -1

  init(
    _ address: RepriseClient.Address, _ configuration: RepriseClient.Configuration,
    _ loop: any EventLoop, _ lineBytes: KnownLineBytes
  ) {
    self.address = address
    self.configuration = configuration
    self.loop = loop
    self.lineBytes = lineBytes
  }

  func begin(
    _ call: Call, _ deadline: Duration,
    _ answer: @escaping (Result<ResultObject, ClientError>) -> Void
  ) {
    if case .closed = state { return answer(.failure(.closed)) }
    if pending.count >= configuration.callsMax { return answer(.failure(.tooManyCalls)) }
    lastID += 1
    let id = lastID
    let expiry = loop.assumeIsolated().scheduleTask(in: TimeAmount(deadline)) { [self] in
      finish(id, .failure(.deadlineExceeded))
    }
    pending[id] = Pending(answer: answer, deadline: expiry)
    withConnection { [self] channel in
      // A call whose deadline passed while connecting is not sent.
      if pending[id] == nil { return }
      send(call, id, channel)
    }
  }

  private func send(_ call: Call, _ id: Int64, _ channel: any Channel) {
    writer.removeAll()
    Request(id: .number(id), call: call).write(to: &writer)
    var buffer = channel.allocator.buffer(capacity: writer.count)
    unsafe writer.withBytes { _ = unsafe buffer.writeBytes($0) }
    channel.writeAndFlush(buffer, promise: nil)
  }

  private func finish(_ id: Int64, _ result: Result<ResultObject, ClientError>) {
    // An answer that comes after its deadline has no waiting call.
    guard let call = pending.removeValue(forKey: id) else { return }
    call.deadline.cancel()
    call.answer(result)
  }

  private func failAll(_ error: ClientError) {
    let calls = pending
    pending = [:]
    for call in calls.values {
      call.deadline.cancel()
      call.answer(.failure(error))
    }
  }

  // MARK: The connection

  private func withConnection(_ body: @escaping (any Channel) -> Void) {
    switch state {
    case .connected(let channel): body(channel)
    case .connecting(var waiting):
      waiting.append { [self] in
        if case .connected(let channel) = state { body(channel) }
      }
      state = .connecting(waiting)
    case .waiting(let until, let reason) where NIODeadline.now() < until:
      failAll(.unavailable(reason: reason))
    case .idle, .waiting:
      connect()
      withConnection(body)
    case .closed: failAll(.closed)
    }
  }

  private func connect() {
    var socket: SocketAddress?
    if case .unixSocket = address {
      socket = address.unixSocketAddress
      if socket == nil {
        // Retrying cannot make the path shorter.
        let reason = address.pathTooLong
        state = .waiting(until: .distantFuture, reason: reason)
        return failAll(.unavailable(reason: reason))
      }
    }
    state = .connecting([])
    let bound = NIOLoopBound(self, eventLoop: loop)
    let bootstrap = ClientBootstrap(group: loop)
      .channelOption(.maxMessagesPerRead, value: 4)
      .channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          let connection = bound.value
          if let handler = try connection.makeTLSHandler() {
            try channel.pipeline.syncOperations.addHandler(handler)
          }
          try channel.pipeline.syncOperations.addHandler(
            AnswerHandler(connection, connection.configuration))
        }
      }
    let attempt =
      switch address {
      case .unixSocket(let path):
        socket.map(bootstrap.connect(to:)) ?? bootstrap.connect(unixDomainSocketPath: path)
      case .tcp(let host, let port): bootstrap.connect(host: host, port: port)
      }
    attempt.hop(to: loop).assumeIsolated().whenComplete { [self] result in
      guard case .connecting(let waiting) = state else {
        // The client was closed in the meantime.
        if case .success(let channel) = result { channel.close(promise: nil) }
        return
      }
      switch result {
      case .success(let channel):
        failures = 0
        state = .connected(channel)
        if let token = configuration.accessToken {
          send(
            .serverAuthenticate(ServerAuthenticate(token: token)), Self.authenticationID, channel)
        }
        send(.serverInfo, Self.infoID, channel)
        for call in waiting { call() }
      case .failure(let error):
        failures += 1
        let delay = min(
          configuration.reconnectDelay * (1 << min(failures - 1, 10)),
          configuration.reconnectDelayMax)
        let reason = address.reason(error)
        state = .waiting(until: .now() + TimeAmount(delay), reason: reason)
        failAll(.unavailable(reason: reason))
      }
    }
  }

  private func makeTLSHandler() throws -> (any ChannelHandler)? {
    guard let files = configuration.tls, case .tcp(let host, _) = address else { return nil }
    let context = try tls ?? TLSContext(files)
    tls = context
    return try context.makeHandler(host: host)
  }

  fileprivate func didRead(_ line: ByteBuffer, _ reader: ResponseReader) throws {
    try unsafe line.withUnsafeReadableBytes { bytes in
      // SAFETY: the span is used within the closure only.
      try unsafe reader.read(RawSpan(_unsafeBytes: bytes)) { id, result in
        guard case .number(let number) = id else { return }
        if number == Self.authenticationID, case .failure(let error) = result {
          // The service would not answer other requests either.
          failAll(.service(error))
        }
        if number == Self.infoID, case .success(let object) = result,
          let info = ServerInfo(result: object)
        {
          lineBytes.value.store(info.eventLoopLineBytes, ordering: .relaxed)
        }
        finish(number, result.mapError { .service($0) })
      }
    }
  }

  fileprivate func didDisconnect() {
    if case .connected = state { state = .idle }
    failAll(.disconnected)
  }

  /// Returns the channel, where there is one, which the caller closes.
  func close() -> (any Channel)? {
    guard case .connected(let channel) = state else {
      state = .closed
      failAll(.closed)
      return nil
    }
    state = .closed
    return channel
  }
}

/// Divides the bytes of the service into lines.
private final class AnswerHandler: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer

  private let connection: Connection
  private let reader: ResponseReader
  private let lineBytesMax: Int
  private var partial = ByteBuffer()
  private var searched = 0

  init(_ connection: Connection, _ configuration: RepriseClient.Configuration) {
    self.connection = connection
    lineBytesMax = configuration.lineBytesMax
    reader = ResponseReader(lineBytesMax: configuration.lineBytesMax)
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    var read = unwrapInboundIn(data)
    if partial.readableBytes == 0 { partial = read } else { partial.writeBuffer(&read) }
    while true {
      let view = partial.readableBytesView
      guard let newline = view.dropFirst(searched).firstIndex(of: UInt8(ascii: "\n")) else {
        searched = view.count
        break
      }
      searched = 0
      guard let line = partial.readSlice(length: newline - view.startIndex) else { break }
      partial.moveReaderIndex(forwardBy: 1)
      do {
        try connection.didRead(line, reader)
      } catch {
        // The following bytes cannot be trusted either.
        context.close(promise: nil)
        return
      }
    }
    if partial.readableBytes > lineBytesMax {
      context.close(promise: nil)
    } else {
      partial.discardReadBytes()
    }
  }

  func channelInactive(context: ChannelHandlerContext) {
    connection.didDisconnect()
    context.fireChannelInactive()
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    context.close(promise: nil)
  }
}
