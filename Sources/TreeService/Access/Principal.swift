import NIOConcurrencyHelpers
import NIOCore
import WireProtocol

/// Whoever calls: the holder of an access token, or everybody where no access file is in use. All of
/// a holder's connections share one.
final class Principal: Sendable {
  /// nil when the token was taken away.
  private let current: NIOLockedValueBox<Grant?>
  private let rate = RateLimiter()
  /// The holder's own: nobody else's sessions can be found, or told by a name that is taken.
  let sessions: SessionTable
  let name: String

  init(_ grant: Grant, _ sessions: SessionTable) {
    name = grant.name
    current = NIOLockedValueBox(grant)
    self.sessions = sessions
  }

  var grant: Grant? {
    get { current.withLockedValue { $0 } }
    set { current.withLockedValue { $0 = newValue } }
  }

  /// Takes one request from what the holder may send.
  func takeRequest(_ limits: Limits, now: NIODeadline) throws(WireError) {
    let perSecond = current.withLockedValue { $0?.requestsPerSecond } ?? limits.requestsPerSecondMax
    if let millis = rate.take(perSecond, now: now) {
      throw WireError(
        .busy,
        "more than \(perSecond) requests a second, which is what this access token may send; send "
          + "again later, or more in one request",
        ["retry_after_ms": .number(millis)])
    }
  }
}
