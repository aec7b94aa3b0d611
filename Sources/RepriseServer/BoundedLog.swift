import Concurrency
import Logging
import NIOCore
import WireProtocol

/// A log whose volume clients cannot inflate.
///
/// Each level may write a number of lines a second; the next line that is written says how many
/// were left out before it. Text from a client stays on the event's one line.
struct BoundedLog: LogHandler {
  private var handler: any LogHandler
  private let allowances: Allowances

  /// The most lines of one level in a second.
  static let linesPerSecondMax = 20

  init(_ handler: any LogHandler) {
    self.handler = handler
    allowances = Allowances()
  }

  func log(event: LogEvent) {
    guard let leftOut = allowances.take(event.level) else { return }
    var metadata = (event.metadata ?? [:]).mapValues {
      Logger.MetadataValue.string("\($0)".onOneLine)
    }
    if leftOut > 0 { metadata["left_out"] = "\(leftOut)" }
    var event = event
    event.metadata = metadata
    handler.log(event: event)
  }

  subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { handler[metadataKey: key] }
    set { handler[metadataKey: key] = newValue }
  }
  var metadata: Logger.Metadata {
    get { handler.metadata }
    set { handler.metadata = newValue }
  }
  var metadataProvider: Logger.MetadataProvider? {
    get { handler.metadataProvider }
    set { handler.metadataProvider = newValue }
  }
  var logLevel: Logger.Level {
    get { handler.logLevel }
    set { handler.logLevel = newValue }
  }
}

/// The remaining lines of each level, and the number of lines left out.
private final class Allowances: Sendable {
  private let rates = Logger.Level.allCases.map { _ in RateLimiter() }
  private let leftOut = Locked([Int](repeating: 0, count: Logger.Level.allCases.count))

  /// Returns the number of lines left out since the last one, or nil if this one is left out too.
  func take(_ level: Logger.Level) -> Int? {
    let index = Logger.Level.allCases.firstIndex(of: level) ?? 0
    let mayPass = rates[index].take(BoundedLog.linesPerSecondMax, now: .now()) == nil
    return leftOut.withLock { leftOut in
      defer { leftOut[index] = mayPass ? 0 : leftOut[index] + 1 }
      return mayPass ? leftOut[index] : nil
    }
  }
}
