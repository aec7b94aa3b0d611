import Access
import Concurrency
import NIOCore
import RepriseModel
import WireProtocol

/// A caller: the holder of an access token, or every caller if no access file is in use. All
/// connections of a holder share one principal.
final class Principal: Sendable {
  /// nil once the token was removed.
  private let current: Locked<Grant?>
  private let rate = RateLimiter()
  /// The holder's own table: other holders' sessions cannot be found, nor detected by a name that
  /// is taken.
  let sessions: SessionTable
  let name: String

  init(_ grant: Grant, _ sessions: SessionTable) {
    name = grant.name
    current = Locked(grant)
    self.sessions = sessions
  }

  var grant: Grant? {
    get { current.withLock { $0 } }
    set { current.withLock { $0 = newValue } }
  }

  /// Counts one request against the holder's rate.
  func takeRequest(_ limits: Limits, now: NIODeadline) throws(WireError) {
    let perSecond = current.withLock { $0?.requestsPerSecond } ?? limits.requestsPerSecondMax
    if let millis = rate.take(perSecond, now: now) {
      throw WireError(
        .busy,
        "more than \(perSecond) requests a second, the rate of this access token; send "
          + "again later, or more in one request",
        ["retry_after_ms": .number(millis)])
    }
  }
}
