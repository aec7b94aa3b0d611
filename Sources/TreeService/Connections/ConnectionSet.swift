import NIOConcurrencyHelpers
import NIOCore

/// The open connections, to be closed in good order.
final class ConnectionSet: Sendable {
  private typealias Members = [ObjectIdentifier: (channel: any Channel, place: Place)]
  private let channels = NIOLockedValueBox<Members>([:])

  /// The number of connections that there is room for.
  enum Place {
    /// One of those that the limit allows.
    case ordinary
    /// One of a few beyond the limit, for calls that help to make room.
    case beyondLimit
    /// To be told that it is one too many.
    case refusal
  }

  /// Connections beyond the limit that may make calls of operators.
  static let beyondLimitMax = 2
  /// Connections that are being refused.
  static let refusalsMax = 8

  private static let patience = TimeAmount.seconds(5)

  var count: Int { channels.withLockedValue { $0.count } }

  /// Whether there was room for one more.
  func add(_ channel: any Channel, max: Int) -> Bool {
    add(channel, places: [(.ordinary, max)]) != nil
  }

  /// Adds a connection where there is room for it: within the limit, beyond it, or to be refused. Returns
  /// nil where there is none.
  func place(_ channel: any Channel, max: Int) -> Place? {
    add(
      channel,
      places: [
        (.ordinary, max), (.beyondLimit, Self.beyondLimitMax), (.refusal, Self.refusalsMax),
      ])
  }

  private func add(_ channel: any Channel, places: [(place: Place, max: Int)]) -> Place? {
    let key = ObjectIdentifier(channel)
    let added = channels.withLockedValue { channels in
      let found = places.first { place, max in
        // Mostly all of them have an ordinary place; those are not counted one by one.
        channels.count < max || channels.values.count { $0.place == place } < max
      }
      if let found { channels[key] = (channel, found.place) }
      return found?.place
    }
    if added != nil {
      channel.closeFuture.whenComplete { [channels] _ in
        channels.withLockedValue { _ = $0.removeValue(forKey: key) }
      }
    }
    return added
  }

  /// Closes all of them, when each has been answered what was received.
  func closeAll() async {
    let channels = channels.withLockedValue { $0.values.map(\.channel) }
    for channel in channels {
      channel.pipeline.fireUserInboundEventTriggered(ChannelEvent.inputClosed)
      // A client that does not read its answers cannot hold the service up.
      let limit = channel.eventLoop.scheduleTask(in: Self.patience) { channel.close(promise: nil) }
      channel.closeFuture.whenComplete { _ in limit.cancel() }
    }
    for channel in channels { try? await channel.closeFuture.get() }
  }
}
