import CorpusStore
import RepriseModel
import Testing

/// A condition that lasts is reported once, then every minute, and when it is over.
@Suite struct StandingConditionTests {
  private let time = TestClock()
  private let log = ReportLog()
  private var conditions: StandingConditions {
    StandingConditions(clock: time.clock, report: log.report)
  }

  @Test func aConditionIsReportedOnceThenEachMinuteThenWhenItIsOver() {
    let conditions = conditions
    conditions.raise(.sealing, corpus: "c", cause: "the disk is full")
    #expect(log.take() == ["error: sealing corpus c fails: the disk is full"])
    // Once in 5 s, the interval in which compaction retries.
    for _ in 0..<11 {
      time.advance(.seconds(5))
      conditions.raise(.sealing, corpus: "c", cause: "the disk is full")
    }
    #expect(log.take().isEmpty)
    time.advance(.seconds(5))
    conditions.raise(.sealing, corpus: "c", cause: "no such device")
    #expect(log.take() == ["error: sealing corpus c fails, 13 times in 60 s: no such device"])
    // Also if the condition is not met again: every minute, and not more often.
    time.advance(.seconds(59))
    conditions.repeatReports()
    #expect(log.take().isEmpty)
    time.advance(.seconds(1))
    conditions.repeatReports()
    conditions.repeatReports()
    #expect(log.take() == ["error: sealing corpus c fails, 13 times in 120 s: no such device"])
    conditions.clear(.sealing, corpus: "c")
    #expect(
      log.take() == ["notice: sealing corpus c is in order again: it failed 13 times in 120 s"])
    // Clearing an absent condition does nothing, and a minute later the condition begins anew.
    conditions.clear(.sealing, corpus: "c")
    #expect(log.take().isEmpty)
    time.advance(.seconds(60))
    conditions.raise(.sealing, corpus: "c", cause: "the disk is full")
    #expect(log.take() == ["error: sealing corpus c fails: the disk is full"])
    #expect(conditions.current.map(\.count) == [1])
    #expect(conditions.timesRaised(.sealing) == 14 && conditions.timesRaised(.merging) == 0)
  }

  /// A condition that comes and goes is reported once a minute, with all its times, and so is its
  /// end; health shows each moment.
  @Test func aConditionThatComesAndGoesIsReportedOnceAMinute() {
    let conditions = conditions
    func comeAndGo() {
      conditions.raise(.merging, corpus: "c", cause: "no memory")
      #expect(conditions.current.map(\.count) == [1])
      time.advance(.seconds(1))
      conditions.clear(.merging, corpus: "c")
      #expect(conditions.current.isEmpty)
      conditions.repeatReports()
    }
    comeAndGo()
    #expect(
      log.take() == [
        "error: merging corpus c fails: no memory",
        "notice: merging corpus c is in order again: it failed once",
      ])
    for _ in 1..<60 { comeAndGo() }
    #expect(log.take().isEmpty)
    comeAndGo()
    #expect(
      log.take() == [
        "error: merging corpus c fails, 61 times in 60 s: no memory",
        "notice: merging corpus c is in order again: it failed 61 times in 61 s",
      ])
    // It comes back soon, and stays.
    time.advance(.seconds(30))
    conditions.raise(.merging, corpus: "c", cause: "no memory")
    conditions.repeatReports()
    #expect(log.take().isEmpty)
    time.advance(.seconds(29))
    conditions.repeatReports()
    #expect(log.take() == ["error: merging corpus c fails, 62 times in 120 s: no memory"])
    conditions.clear(.merging, corpus: "c")
    #expect(log.take().count == 1)
    // It is over for a minute, and then begins anew.
    time.advance(.seconds(60))
    conditions.repeatReports()
    conditions.raise(.merging, corpus: "c", cause: "no memory")
    #expect(log.take() == ["error: merging corpus c fails: no memory"])
  }

  @Test func eachKindAndEachCorpusStandsForItself() {
    let conditions = conditions
    conditions.raise(.merging, corpus: "b", cause: "one")
    time.advance(.seconds(1))
    conditions.raise(.merging, corpus: "a", cause: "two")
    conditions.raise(.saving, corpus: "a", cause: "three")
    #expect(
      conditions.current.map(\.subject)
        == ["merging corpus b", "merging corpus a", "saving corpus a"])
    conditions.clear(.merging, corpus: "a")
    #expect(conditions.current.map(\.cause) == ["one", "three"])
    conditions.forget(corpus: "a")
    #expect(conditions.current.map(\.cause) == ["one"])
    #expect(log.take().count == 4, "a forgotten condition is not reported as over")
  }

  @Test func aConditionKeepsTheServiceFromBeingReadyWhenItHasLastedTooLong() {
    let conditions = conditions
    conditions.raise(.merging, corpus: "c", cause: "full")
    conditions.raise(.saving, corpus: "c", cause: "full", tolerated: .seconds(5))
    time.advance(.seconds(4))
    conditions.raise(.saving, corpus: "c", cause: "full", tolerated: .seconds(5))
    #expect(conditions.preventingReadiness.isEmpty)
    time.advance(.seconds(1))
    #expect(conditions.preventingReadiness.map(\.kind) == [.saving])
    conditions.clear(.saving, corpus: "c")
    #expect(conditions.preventingReadiness.isEmpty)
    conditions.raise(.saving, cause: "gone", tolerated: .zero)
    #expect(conditions.preventingReadiness.map(\.subject) == ["saving the store"])
  }
}
