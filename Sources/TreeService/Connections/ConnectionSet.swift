import NIOConcurrencyHelpers
import NIOCore

/// The open connections, to be closed in good order.
final class ConnectionSet: Sendable {
  private let channels = NIOLockedValueBox<[ObjectIdentifier: any Channel]>([:])

  private static let patience = TimeAmount.seconds(5)

  var count: Int { channels.withLockedValue { $0.count } }

  /// Whether there was room for one more.
  func add(_ channel: any Channel, max: Int) -> Bool {
    let key = ObjectIdentifier(channel)
    let added = channels.withLockedValue { channels in
      if channels.count >= max { return false }
      channels[key] = channel
      return true
    }
    if added {
      channel.closeFuture.whenComplete { [channels] _ in
        channels.withLockedValue { _ = $0.removeValue(forKey: key) }
      }
    }
    return added
  }

  /// Closes all of them, when each has been answered what was received.
  func closeAll() async {
    let channels = channels.withLockedValue { Array($0.values) }
    for channel in channels {
      channel.pipeline.fireUserInboundEventTriggered(ChannelEvent.inputClosed)
      // A client that does not read its answers cannot hold the service up.
      let limit = channel.eventLoop.scheduleTask(in: Self.patience) { channel.close(promise: nil) }
      channel.closeFuture.whenComplete { _ in limit.cancel() }
    }
    for channel in channels { try? await channel.closeFuture.get() }
  }
}
