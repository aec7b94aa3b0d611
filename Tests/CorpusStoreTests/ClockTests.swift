import Foundation
import RepriseModel
import Testing

@testable import CorpusStore

/// Waiting and due times use the monotonic clock.
@Suite struct ClockTests {
  /// What went wrong: the time to save was a time of the wall clock. When that was stepped back by
  /// an hour, acknowledged sequences stayed unwritten for an hour.
  @Test(arguments: [-3600, 3600]) func acknowledgedSequencesAreSavedInTime(step: Int) throws {
    let directory = TemporaryDirectory()
    let time = TestClock(standsStill: false)
    var options = StoreOptions.tiny()
    options.clock = time.clock
    let store = try Store(path: directory.path, options: options)
    defer { store.close() }
    let corpus = try store.createCorpus(
      named: "c", CorpusSettings(durability: .interval(millis: 200)))
    try corpus.insert([NewSequence(tokens: [1, 2, 3])])
    time.stepWall(seconds: step)
    #expect(eventually { corpus.stats().unsavedSequences == 0 })
    try corpus.insert([NewSequence(tokens: [4, 5, 6])])
    time.stepWall(seconds: step)
    #expect(eventually { corpus.stats().unsavedSequences == 0 })
  }
}
