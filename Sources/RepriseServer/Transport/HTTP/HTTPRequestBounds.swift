import NIOCore
import NIOHTTP1
import RepriseModel
import WireProtocol

/// Ends a connection whose request has too many bytes or takes too long, and one without requests.
/// It comes before the parser, which bounds neither.
///
/// A refused request is answered at once. Further bytes of the client are read and discarded for a
/// while, because many clients read no answer before they have sent their whole request.
final class HTTPRequestBounds: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  typealias InboundOut = ByteBuffer
  typealias OutboundOut = ByteBuffer

  private let limits: Limits
  private let phaseAtStart: Phase
  private var phase: Phase
  /// Bytes that arrived since the last request ended.
  private var bytes = 0
  private var bytesMax = HTTPRequestBounds.requestBytesMax
  private var headHasCome = false
  private var deadline: Scheduled<Void>?
  private var context: ChannelHandlerContext?

  private enum Phase {
    /// A request is being read, or awaited.
    case reading
    /// A request is complete and not answered yet.
    case answering
    /// The answer was sent; arriving bytes are discarded.
    case refused
    /// The connection exceeds the limit.
    case tooMany(max: Int)
  }

  /// Requests of scrapers and orchestrators have a few hundred bytes.
  static let requestBytesMax = 1 << 16
  /// Half a million tokens. Every client of the port may make the service hold this much, for each
  /// connection.
  static let bodyBytesMax = 4 << 20
  /// The most bytes of a refused request that are read and discarded.
  static let discardedBytesMax = 256 << 20
  /// The next request of the same scraper comes within a minute or two.
  private static let idleSecondsMax = 300

  /// - Parameter connectionsMax: For a connection beyond the limit, the limit, which the refusal
  ///   names.
  init(_ limits: Limits, refusingBeyond connectionsMax: Int? = nil) {
    self.limits = limits
    phaseAtStart = connectionsMax.map { .tooMany(max: $0) } ?? .reading
    phase = phaseAtStart
  }

  var isRefused: Bool {
    if case .refused = phase { true } else { false }
  }

  /// The most bytes of a body.
  func bodyBytesMax(ofDraft isDraft: Bool) -> Int {
    isDraft ? min(limits.lineBytesMax, Self.bodyBytesMax) : Self.requestBytesMax
  }

  // MARK: Calls of the request's handler

  /// Notes that a request's head was read. Returns true if its body may follow.
  func headCame(_ head: HTTPRequestHead, isDraft: Bool) -> Bool {
    headHasCome = true
    let max = bodyBytesMax(ofDraft: isDraft)
    bytesMax = max + Self.requestBytesMax
    if let length = head.headers.first(name: "content-length").flatMap({ Int($0) }), length > max {
      refuse(.payloadTooLarge, .limit(.bodyBytes, max: max, got: length, "the request's body"))
      return false
    }
    if head.headers.first(name: "expect")?.lowercased() == "100-continue", let context {
      // The client waits for this before it sends the body.
      let text = ByteBuffer(string: "HTTP/1.1 100 Continue\r\n\r\n")
      context.writeAndFlush(wrapOutboundOut(text), promise: nil)
    }
    return true
  }

  /// Notes that this much of a draft's body was read.
  func bodyCame(bytes: Int) {
    let max = bodyBytesMax(ofDraft: true)
    if bytes > max {
      refuse(.payloadTooLarge, .limit(.bodyBytes, max: max, got: bytes, "the request's body"))
    }
  }

  /// Notes that a request is complete. Later bytes belong to the next one.
  func requestEnded() {
    bytes = 0
    bytesMax = Self.requestBytesMax
    headHasCome = false
    phase = .answering
    close(after: min(limits.idleSecondsMax, Self.idleSecondsMax))
  }

  /// Notes that the request was answered.
  func requestWasAnswered() {
    if case .answering = phase { phase = .reading }
  }

  /// Answers the request that is being read, in place of its handler, and closes the connection.
  func refuse(_ status: HTTPResponseStatus, _ error: WireError) {
    guard let context else { return }
    // An earlier answer that is not sent yet would follow this one.
    if case .answering = phase { return context.close(promise: nil) }
    if isRefused { return }
    phase = .refused
    bytes = 0
    var writer = JSONWriter()
    writer.beginObject()
    writer.name("error")
    error.write(to: &writer)
    writer.endObject()
    writer.endLine()
    var text =
      "HTTP/1.1 \(status.code) \(status.reasonPhrase)\r\ncontent-type: application/json\r\n"
    text += "content-length: \(writer.count)\r\nconnection: close\r\n"
    if status == .serviceUnavailable { text += "retry-after: 1\r\n" }
    var answer = ByteBuffer(string: text + "\r\n")
    unsafe writer.withBytes { _ = unsafe answer.writeBytes($0) }
    context.writeAndFlush(wrapOutboundOut(answer), promise: nil)
    context.close(mode: .output, promise: nil)
    close(after: limits.lineSecondsMax)
  }

  func refuseHead() {
    refuse(
      .requestHeaderFieldsTooLarge,
      .limit(.headBytes, max: Self.requestBytesMax, got: bytes, "the request's head"))
  }

  // MARK: Arriving bytes

  func handlerAdded(context: ChannelHandlerContext) { self.context = context }
  func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

  func channelActive(context: ChannelHandlerContext) {
    if case .tooMany(let max) = phaseAtStart {
      phase = .reading
      refuse(
        .serviceUnavailable,
        .limit(
          .httpConnections, max: max, got: max + 1, "the number of connections",
          remedy: "close some, or connect again later"))
      return
    }
    // The time of the first request counts from the connection's start.
    close(after: limits.lineSecondsMax)
    context.fireChannelActive()
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    let count = unwrapInboundIn(data).readableBytes
    if isRefused {
      bytes += count
      if bytes > Self.discardedBytesMax { context.close(promise: nil) }
      return
    }
    if bytes == 0 { close(after: limits.lineSecondsMax) }
    bytes += count
    if bytes > bytesMax {
      if headHasCome {
        let max = bytesMax - Self.requestBytesMax
        refuse(.payloadTooLarge, .limit(.bodyBytes, max: max, got: bytes, "the request's body"))
      } else {
        refuseHead()
      }
    } else {
      context.fireChannelRead(data)
    }
  }

  func channelReadComplete(context: ChannelHandlerContext) {
    context.fireChannelReadComplete()
    // The handlers behind this one may wait for the rest of the request, and read nothing.
    if isRefused { context.read() }
  }

  private func close(after seconds: Int) {
    guard let context else { return }
    deadline?.cancel()
    let bound = NIOLoopBound((handler: self, context: context), eventLoop: context.eventLoop)
    deadline = context.eventLoop.scheduleTask(in: .seconds(Int64(seconds))) {
      bound.value.handler.timeIsOver(bound.value.context)
    }
  }

  private func timeIsOver(_ context: ChannelHandlerContext) {
    if case .reading = phase, bytes > 0 {
      let seconds = limits.lineSecondsMax
      refuse(
        .requestTimeout,
        .limit(
          .lineSeconds, max: seconds, got: seconds + 1, "the time since the request began",
          remedy: "send requests whole"))
    } else {
      context.close(promise: nil)
    }
  }

  func channelInactive(context: ChannelHandlerContext) {
    deadline?.cancel()
    context.fireChannelInactive()
  }
}
