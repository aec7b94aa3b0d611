import Foundation
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
    #expect(eventually { corpus.stats().sequencesUnsaved == 0 })
    try corpus.insert([NewSequence(tokens: [4, 5, 6])])
    time.stepWall(seconds: step)
    #expect(eventually { corpus.stats().sequencesUnsaved == 0 })
  }

  @Test func aTimedWaitEndsByItselfAndBeforeThatWhenCalled() {
    let condition = MonotonicCondition()
    let start = ContinuousClock.now
    condition.withLock {
      while ContinuousClock.now - start < .milliseconds(20) {
        condition.wait(atMost: .milliseconds(20) - (ContinuousClock.now - start))
      }
      condition.wait(atMost: .zero)
      condition.wait(atMost: .seconds(-5))
    }
    let isCalled = UncheckedFlag()
    let thread = Thread {
      condition.withLock {
        isCalled.value = true
        condition.broadcast()
      }
    }
    condition.withLock {
      thread.start()
      while !isCalled.value { condition.wait(atMost: .seconds(600)) }
    }
  }

  private final class UncheckedFlag: @unchecked Sendable {
    // @unchecked Sendable: guarded by the condition's lock.
    var value = false
  }
}
