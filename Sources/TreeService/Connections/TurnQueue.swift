import Foundation
import Glibc
import NIOCore
import NIOPosix

/// Who of one event loop's connections has more to do than fits into its turn, in order.
///
/// Between two turns the event loop looks at its sockets, so that a request which takes no turn of its
/// own waits for one turn at most, however many wait here. NIO runs all tasks that are due before it
/// does that, also those that tasks add; so a turn is no task, but what the event loop finds when it
/// looks: a bell, among the sockets, that is rung while somebody waits.
final class TurnQueue: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer

  /// A socket whose other end is this handler's channel. It never holds more than a byte.
  private let bell: Int32
  private var hasEnded = false
  private var waiting = CircularBuffer<() -> Void>()

  private init(bell: Int32) {
    self.bell = bell
  }

  deinit {
    close(bell)
  }

  static func make(on loop: any EventLoop) async throws -> NIOLoopBound<TurnQueue> {
    var ends: [Int32] = [0, 0]
    let type = Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
    if unsafe socketpair(AF_UNIX, type, 0, &ends) != 0 {
      throw POSIXError(POSIXErrorCode(rawValue: errno) ?? .EMFILE)
    }
    let (heard, bell) = (ends[0], ends[1])
    return try await NIOPipeBootstrap(group: loop)
      // One turn each time that the event loop looks.
      .channelOption(.maxMessagesPerRead, value: 1)
      .channelOption(.recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: 1))
      .takingOwnershipOfDescriptor(input: heard) { channel in
        channel.eventLoop.makeCompletedFuture {
          let queue = TurnQueue(bell: bell)
          try channel.pipeline.syncOperations.addHandler(queue)
          return NIOLoopBound(queue, eventLoop: channel.eventLoop)
        }
      }
  }

  /// - Precondition: called on the event loop, as all else here is.
  func add(_ turn: @escaping () -> Void) {
    waiting.append(turn)
    if waiting.count == 1 { ring() }
  }

  private func ring() {
    // Where the event loop has ended nobody's turn comes.
    if !hasEnded { _ = unsafe send(bell, "x", 1, Int32(MSG_NOSIGNAL)) }
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    // It leaves afterwards, so that what it adds does not ring as well.
    waiting.first?()
    waiting.removeFirst()
    if !waiting.isEmpty { ring() }
  }

  func channelInactive(context: ChannelHandlerContext) {
    hasEnded = true
    waiting.removeAll()
    context.fireChannelInactive()
  }
}

/// The queues of all event loops.
final class TurnQueues: Sendable {
  private let queues: [ObjectIdentifier: NIOLoopBound<TurnQueue>]

  init(_ group: any EventLoopGroup) async throws {
    var queues: [ObjectIdentifier: NIOLoopBound<TurnQueue>] = [:]
    for loop in group.makeIterator() {
      queues[ObjectIdentifier(loop)] = try await TurnQueue.make(on: loop)
    }
    self.queues = queues
  }

  /// - Precondition: called on that event loop, one of the group's.
  func queue(of loop: any EventLoop) -> TurnQueue {
    guard let queue = queues[ObjectIdentifier(loop)] else {
      preconditionFailure("the event loop belongs to another group")
    }
    return queue.value
  }
}
