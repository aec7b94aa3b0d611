import Glibc
import NIOCore
import SystemPackage

/// Precedes a listener and keeps it from accepting connections for which there are no files.
///
/// When the process, or the machine, can open no further file, accepting a connection fails and the
/// connection keeps waiting: the listener would retry endlessly. Instead, a spare file is closed
/// for a moment, the waiting connections are accepted, refused and closed, and accepting pauses.
final class AcceptGate: ChannelDuplexHandler {
  typealias InboundIn = any Channel
  typealias OutboundIn = any Channel

  private let listener: Int32
  private let service: Service
  /// The answer to a connection without a file; empty if none can be sent.
  private let refusal: [UInt8]
  /// A spare file, closed for a moment when no other can be opened.
  private var spare = AcceptGate.openSpare()
  private var isPaused = false
  private var readIsWaiting = false
  private var isOutOfFiles = false

  private static let pause = TimeAmount.milliseconds(200)
  /// The most connections that are refused before the event loop continues with other work.
  private static let refusalsAtOnce = 64

  init(_ listener: Int32, _ service: Service, refusal: [UInt8]) {
    self.listener = listener
    self.service = service
    self.refusal = refusal
  }

  deinit { if spare >= 0 { Glibc.close(spare) } }

  private static func openSpare() -> Int32 { unsafe open("/dev/null", O_RDONLY | O_CLOEXEC) }

  func read(context: ChannelHandlerContext) {
    if isPaused {
      readIsWaiting = true
    } else {
      context.read()
    }
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    if isOutOfFiles {
      isOutOfFiles = false
      service.accepts()
    }
    context.fireChannelRead(data)
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    guard let error = error as? IOError,
      [EMFILE, ENFILE, ENOBUFS, ENOMEM].contains(error.errnoCode)
    else {
      context.fireErrorCaught(error)
      return
    }
    isOutOfFiles = true
    service.cannotAccept(
      cause:
        "\(Errno(rawValue: error.errnoCode)); close connections, drop corpora, or raise the limit of "
        + "open files (ulimit -n, LimitNOFILE)")
    refuseThoseThatWait()
    isPaused = true
    let bound = NIOLoopBound((gate: self, context: context), eventLoop: context.eventLoop)
    context.eventLoop.scheduleTask(in: Self.pause) { bound.value.gate.goOn(bound.value.context) }
  }

  private func goOn(_ context: ChannelHandlerContext) {
    isPaused = false
    if readIsWaiting {
      readIsWaiting = false
      context.read()
    }
  }

  private func refuseThoseThatWait() {
    if spare >= 0 { Glibc.close(spare) }
    for _ in 0..<Self.refusalsAtOnce {
      let connection = accept(listener, nil, nil)
      if connection < 0 { break }
      // The refusal fits into the buffer of a new connection.
      _ = unsafe refusal.withUnsafeBytes {
        unsafe send(
          connection, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT))
      }
      Glibc.close(connection)
    }
    spare = Self.openSpare()
  }
}
