import Foundation
import Glibc
import NIOCore
import NIOPosix

/// Wakes an event loop for the quanta of its queue, one each time that it polls its sockets.
///
/// NIO runs all due tasks before it polls, including those that tasks add. Therefore a quantum is not
/// a task but an event among the sockets: a byte that is sent to a socket of the queue's own while
/// connections wait.
final class WakeUpSocket: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer

  /// The sending end of a pair; the other end is this handler's channel. It never holds more than one
  /// byte.
  private let sender: Int32
  private var hasEnded = false
  private(set) lazy var queue = UsageQueue { [weak self] in self?.wakeUp() }

  private init(sender: Int32) {
    self.sender = sender
  }

  deinit {
    close(sender)
  }

  static func queue(on loop: any EventLoop) async throws -> NIOLoopBound<UsageQueue> {
    var ends: [Int32] = [0, 0]
    let type = Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
    if unsafe socketpair(AF_UNIX, type, 0, &ends) != 0 {
      throw POSIXError(POSIXErrorCode(rawValue: errno) ?? .EMFILE)
    }
    let (received, sender) = (ends[0], ends[1])
    return try await NIOPipeBootstrap(group: loop)
      // One quantum each time that the event loop polls.
      .channelOption(.maxMessagesPerRead, value: 1)
      .channelOption(.recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: 1))
      .takingOwnershipOfDescriptor(input: received) { channel in
        channel.eventLoop.makeCompletedFuture {
          let socket = WakeUpSocket(sender: sender)
          try channel.pipeline.syncOperations.addHandler(socket)
          return NIOLoopBound(socket.queue, eventLoop: channel.eventLoop)
        }
      }
  }

  private func wakeUp() {
    // After the event loop has ended no quantum begins.
    if !hasEnded { _ = unsafe send(sender, "x", 1, Int32(MSG_NOSIGNAL)) }
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) { queue.workNext() }

  func channelInactive(context: ChannelHandlerContext) {
    hasEnded = true
    queue.removeAll()
    context.fireChannelInactive()
  }
}

/// The queues of all event loops.
final class UsageQueues: Sendable {
  private let queues: [ObjectIdentifier: NIOLoopBound<UsageQueue>]

  init(_ group: any EventLoopGroup) async throws {
    var queues: [ObjectIdentifier: NIOLoopBound<UsageQueue>] = [:]
    for loop in group.makeIterator() {
      queues[ObjectIdentifier(loop)] = try await WakeUpSocket.queue(on: loop)
    }
    self.queues = queues
  }

  /// - Precondition: called on that event loop, which belongs to the group.
  func queue(of loop: any EventLoop) -> UsageQueue {
    guard let queue = queues[ObjectIdentifier(loop)] else {
      preconditionFailure("the event loop belongs to another group")
    }
    return queue.value
  }
}
