import Foundation
import Glibc
import NIOCore
import NIOPosix

/// A connection's recent use of an event loop's time, with a half-life of one second.
struct RecentUse: Equatable, Comparable {
  // log₂ of the time, as if it were used now, plus the age of the machine in half-lives. All uses
  // decay alike, so this number stays the same, and comparable, until more is used.
  private var level = -Double.infinity

  init() {}

  /// The use of a connection that constantly takes this share of the time.
  init(share: Double, now: NIODeadline) {
    level = log2(share / log(2)) + Self.halfLives(now)
  }

  private static func halfLives(_ now: NIODeadline) -> Double {
    Double(now.uptimeNanoseconds) * 1e-9
  }

  mutating func add(_ time: TimeAmount, now: NIODeadline) {
    let halfLives = Self.halfLives(now)
    level = log2(exp2(level - halfLives) + Double(time.nanoseconds) * 1e-9) + halfLives
  }

  /// The constant share of the event loop's time that leads to this use.
  func share(now: NIODeadline) -> Double { exp2(level - Self.halfLives(now)) * log(2) }

  static func < (left: Self, right: Self) -> Bool { left.level < right.level }
}

/// A queue of one event loop's connections that have more work than fits into their quantum.
///
/// The connection with the least recent use is next: heavy connections take no quanta from light
/// ones, and share the rest among themselves. A new connection is treated like the heaviest current
/// user, so that reconnecting gains no priority.
///
/// Between two quanta the event loop polls its sockets, so that a request which needs no quantum
/// waits for one quantum at most, however many connections wait here. NIO runs all due tasks before
/// it polls, including those that tasks add. Therefore a quantum is not a task but an event among
/// the sockets: a wake-up, which is sent to a socket of the queue's own while connections wait.
final class UsageQueue: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer

  /// A socket whose other end is this handler's channel. It never holds more than one byte.
  private let wakeUps: Int32
  private var hasEnded = false
  private var mostUsed = RecentUse()
  // Unordered: there are at most as many as connections, and searching a thousand takes a
  // microsecond.
  private var waiting: [(use: RecentUse, work: () -> Void)] = []

  private init(wakeUps: Int32) {
    self.wakeUps = wakeUps
  }

  deinit {
    close(wakeUps)
  }

  static func make(on loop: any EventLoop) async throws -> NIOLoopBound<UsageQueue> {
    var ends: [Int32] = [0, 0]
    let type = Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
    if unsafe socketpair(AF_UNIX, type, 0, &ends) != 0 {
      throw POSIXError(POSIXErrorCode(rawValue: errno) ?? .EMFILE)
    }
    let (received, wakeUps) = (ends[0], ends[1])
    return try await NIOPipeBootstrap(group: loop)
      // One quantum each time that the event loop polls.
      .channelOption(.maxMessagesPerRead, value: 1)
      .channelOption(.recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: 1))
      .takingOwnershipOfDescriptor(input: received) { channel in
        channel.eventLoop.makeCompletedFuture {
          let queue = UsageQueue(wakeUps: wakeUps)
          try channel.pipeline.syncOperations.addHandler(queue)
          return NIOLoopBound(queue, eventLoop: channel.eventLoop)
        }
      }
  }

  /// The length of a quantum, and so the delay that others may suffer. A step of 64 sessions takes
  /// three of the longer quanta, which light connections get.
  ///
  /// - Precondition: called on the event loop, as all methods here are.
  func quantum(of use: RecentUse, now: NIODeadline) -> TimeAmount {
    .microseconds(use.share(now: now) < Self.seldom ? 200 : 50)
  }

  /// The share of an event loop's time below which a connection counts as light.
  private static let seldom = 0.1

  /// The usage that a new connection starts with. It is high, so that reconnecting gains no
  /// priority.
  var useOfNewcomers: RecentUse {
    max(mostUsed, RecentUse(share: 2 * Self.seldom, now: .now()))
  }

  /// Adds time to a connection's use.
  func note(_ time: TimeAmount, by use: inout RecentUse) {
    use.add(time, now: .now())
    mostUsed = max(mostUsed, use)
  }

  /// True if no waiting connection has used less.
  func wouldBeNext(_ use: RecentUse) -> Bool { waiting.allSatisfy { use < $0.use } }

  /// Has a connection work when it is next.
  func add(_ use: RecentUse, _ work: @escaping () -> Void) {
    waiting.append((use, work))
    if waiting.count == 1 { wakeUp() }
  }

  private func wakeUp() {
    // After the event loop has ended no quantum begins.
    if !hasEnded { _ = unsafe send(wakeUps, "x", 1, Int32(MSG_NOSIGNAL)) }
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    guard let next = waiting.indices.min(by: { waiting[$0].use < waiting[$1].use }) else { return }
    waiting.swapAt(next, waiting.count - 1)
    let (_, work) = waiting.removeLast()
    // Sent before the quantum, so that connections added in it do not send another one.
    if !waiting.isEmpty { wakeUp() }
    work()
  }

  func channelInactive(context: ChannelHandlerContext) {
    hasEnded = true
    waiting.removeAll()
    context.fireChannelInactive()
  }
}

/// The queues of all event loops.
final class UsageQueues: Sendable {
  private let queues: [ObjectIdentifier: NIOLoopBound<UsageQueue>]

  init(_ group: any EventLoopGroup) async throws {
    var queues: [ObjectIdentifier: NIOLoopBound<UsageQueue>] = [:]
    for loop in group.makeIterator() {
      queues[ObjectIdentifier(loop)] = try await UsageQueue.make(on: loop)
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
