import Logging
import NIOConcurrencyHelpers
import Testing

@testable import TreeService

/// What clients do fills neither the disk nor somebody else's line.
@Suite struct BoundedLogTests {
  /// Keeps what it is given.
  private struct Kept: LogHandler {
    let events = NIOLockedValueBox<[LogEvent]>([])
    var metadata: Logger.Metadata = [:]
    var logLevel = Logger.Level.trace
    func log(event: LogEvent) { events.withLockedValue { $0.append(event) } }
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
    var events = kept.events.withLockedValue { $0 }
    #expect(events.last?.message == "the disk failed")
    let written = events.count - 1
    #expect(written >= BoundedLog.linesPerSecondMax && written < 10_000)
    // The next one that is written tells how many were not.
    while kept.events.withLockedValue({ $0.count }) == events.count { logger.notice("after") }
    events = kept.events.withLockedValue { $0 }
    let leftOut = events.compactMap { $0.metadata?["left_out"].flatMap { Int("\($0)") } }
    #expect(leftOut.reduce(0, +) >= 10_000 - written)
  }

  @Test func aNameCannotEndItsLine() {
    let kept = Kept()
    let logger = Logger(label: "test") { _ in BoundedLog(kept) }
    logger.notice("not done", metadata: ["snapshot": "a\nb\u{1b}[2J\u{2028}ü", "corpus": "c"])
    let metadata = kept.events.withLockedValue { $0.first?.metadata }
    #expect(metadata == ["snapshot": "a?b?[2J?ü", "corpus": "c"])
  }
}
