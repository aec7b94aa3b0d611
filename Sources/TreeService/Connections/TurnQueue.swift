import Foundation
import Glibc
import NIOCore
import NIOPosix

/// How much of an event loop's time somebody has used lately: what was used a second ago counts half.
struct RecentUse: Equatable, Comparable {
  // log₂ of the time, as if it were used now, plus the age of the machine in half-lives. All uses
  // fade alike, so this number stays what it is, and may be compared, until more is used.
  private var level = -Double.infinity

  init() {}

  /// That of somebody who always uses a part of all time.
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

  /// The part of all time that it was: somebody who always uses as much has used that.
  func share(now: NIODeadline) -> Double { exp2(level - Self.halfLives(now)) * log(2) }

  static func < (left: Self, right: Self) -> Bool { left.level < right.level }
}

/// Who of one event loop's connections has more to do than fits into its turn.
///
/// Next is who has used least of the event loop's time lately: who asks for much does not take turns
/// from who asks for little, and those who ask for much share what is left. Who is new counts as who has
/// used most, so that nobody comes first by connecting anew.
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
  private var mostUsed = RecentUse()
  // In no order: there are as many at most as connections, and to look at a thousand takes a
  // microsecond.
  private var waiting: [(use: RecentUse, turn: () -> Void)] = []

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

  /// For so long somebody may work while others wait: that much later they may be served. A step of 64
  /// sessions takes three of the longer turns, which are for whoever seldom asks.
  ///
  /// - Precondition: called on the event loop, as all else here is.
  func turn(of use: RecentUse, now: NIODeadline) -> TimeAmount {
    .microseconds(use.share(now: now) < Self.seldom ? 200 : 50)
  }

  /// The part of an event loop's time below which somebody seldom asks.
  private static let seldom = 0.1

  /// What somebody new counts as having used. Nobody seldom asks by connecting anew.
  var useOfNewcomers: RecentUse {
    max(mostUsed, RecentUse(share: 2 * Self.seldom, now: .now()))
  }

  /// Notes that somebody has used some time.
  func note(_ time: TimeAmount, by use: inout RecentUse) {
    use.add(time, now: .now())
    mostUsed = max(mostUsed, use)
  }

  /// Whether nobody waits who has used less.
  func wouldBeNext(_ use: RecentUse) -> Bool { waiting.allSatisfy { use < $0.use } }

  func add(_ use: RecentUse, _ turn: @escaping () -> Void) {
    waiting.append((use, turn))
    if waiting.count == 1 { ring() }
  }

  private func ring() {
    // Where the event loop has ended nobody's turn comes.
    if !hasEnded { _ = unsafe send(bell, "x", 1, Int32(MSG_NOSIGNAL)) }
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    guard let next = waiting.indices.min(by: { waiting[$0].use < waiting[$1].use }) else { return }
    waiting.swapAt(next, waiting.count - 1)
    let (_, turn) = waiting.removeLast()
    // Before the turn, so that what it adds does not ring as well.
    if !waiting.isEmpty { ring() }
    turn()
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
