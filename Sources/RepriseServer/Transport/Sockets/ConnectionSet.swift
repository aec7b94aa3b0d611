import Concurrency
import NIOCore

/// The open connections, for an orderly end.
final class ConnectionSet: Sendable {
  private typealias Members = [ObjectIdentifier: (channel: any Channel, place: Place)]
  private let channels = Locked<Members>([:])

  /// The kinds of places for connections.
  enum Place {
    /// A place within the limit.
    case ordinary
    /// One of a few places beyond the limit, for calls that help to make room.
    case beyondLimit
    /// A place only for sending the refusal.
    case refusal
  }

  /// The most connections beyond the limit, which may make calls of operators.
  static let beyondLimitMax = 2
  /// The most connections that are being refused at once.
  static let refusalsMax = 8

  private static let patience = TimeAmount.seconds(5)

  var count: Int { channels.withLock { $0.count } }

  /// Adds a connection. Returns false if there is no room.
  func add(_ channel: any Channel, max: Int) -> Bool {
    add(channel, places: [(.ordinary, max)]) != nil
  }

  /// Adds a connection. It gets the first kind of place that has room: within the limit, beyond it, or
  /// for the refusal only. Returns nil if no kind has room.
  func place(_ channel: any Channel, max: Int) -> Place? {
    add(
      channel,
      places: [
        (.ordinary, max), (.beyondLimit, Self.beyondLimitMax), (.refusal, Self.refusalsMax),
      ])
  }

  private func add(_ channel: any Channel, places: [(place: Place, max: Int)]) -> Place? {
    let key = ObjectIdentifier(channel)
    let added = channels.withLock { channels in
      let found = places.first { place, max in
        // Usually all connections have an ordinary place; they are not counted one by one.
        channels.count < max || channels.values.count { $0.place == place } < max
      }
      if let found { channels[key] = (channel, found.place) }
      return found?.place
    }
    if added != nil {
      channel.closeFuture.whenComplete { [channels] _ in
        channels.withLock { _ = $0.removeValue(forKey: key) }
      }
    }
    return added
  }

  /// Closes all connections, each after the answers to the requests that it has received.
  func closeAll() async {
    let channels = channels.withLock { $0.values.map(\.channel) }
    for channel in channels {
      channel.pipeline.fireUserInboundEventTriggered(ChannelEvent.inputClosed)
      // A client that does not read its answers cannot delay the service's end.
      let limit = channel.eventLoop.scheduleTask(in: Self.patience) { channel.close(promise: nil) }
      channel.closeFuture.whenComplete { _ in limit.cancel() }
    }
    for channel in channels { try? await channel.closeFuture.get() }
  }
}
