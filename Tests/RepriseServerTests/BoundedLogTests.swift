import Concurrency
import Logging
import Testing

@testable import RepriseServer

/// Clients can fill neither the disk nor other lines with their log lines.
@Suite struct BoundedLogTests {
  /// Keeps the events that it receives.
  private struct Kept: LogHandler {
    let events = Locked<[LogEvent]>([])
    var metadata: Logger.Metadata = [:]
    var logLevel = Logger.Level.trace
    func log(event: LogEvent) { events.withLock { $0.append(event) } }
    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
      get { metadata[key] }
      set { metadata[key] = newValue }
    }
  }

  @Test func aStormIsCountedAndOtherLevelsAreHeard() throws {
    let kept = Kept()
    let logger = Logger(label: "test") { _ in BoundedLog(kept) }
    for _ in 0..<10_000 { logger.notice("connection refused") }
    logger.error("the disk failed")
    var events = kept.events.withLock { $0 }
    #expect(events.last?.message == "the disk failed")
    let written = events.count - 1
    #expect(written >= BoundedLog.linesPerSecondMax && written < 10_000)
    // The next line that is written says how many were left out.
    while kept.events.withLock({ $0.count }) == events.count { logger.notice("after") }
    events = kept.events.withLock { $0 }
    let leftOut = events.compactMap { $0.metadata?["left_out"].flatMap { Int("\($0)") } }
    #expect(leftOut.reduce(0, +) >= 10_000 - written)
  }

  @Test func aNameCannotEndItsLine() {
    let kept = Kept()
    let logger = Logger(label: "test") { _ in BoundedLog(kept) }
    logger.notice("not done", metadata: ["snapshot": "a\nb\u{1b}[2J\u{2028}ü", "corpus": "c"])
    let metadata = kept.events.withLock { $0.first?.metadata }
    #expect(metadata == ["snapshot": "a?b?[2J?ü", "corpus": "c"])
  }
}
