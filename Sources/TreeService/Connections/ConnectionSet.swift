import NIOConcurrencyHelpers
import NIOCore

/// The open connections, to be closed in good order.
final class ConnectionSet: Sendable {
  private let channels = NIOLockedValueBox<[ObjectIdentifier: any Channel]>([:])

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

  func closeAll() async {
    for channel in channels.withLockedValue({ Array($0.values) }) {
      channel.pipeline.fireUserInboundEventTriggered(ChannelEvent.inputClosed)
      // A client that does not read its answers cannot hold the service up.
      let limit = channel.eventLoop.scheduleTask(in: .seconds(5)) {
        channel.close(promise: nil)
      }
      try? await channel.closeFuture.get()
      limit.cancel()
    }
  }
}
