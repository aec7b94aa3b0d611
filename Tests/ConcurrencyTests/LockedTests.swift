import Foundation
import Testing

@testable import Concurrency

@Suite struct LockedTests {
  /// Changes by several threads never meet: no addition is lost.
  @Test func changesExcludeEachOther() {
    let sum = Locked(0)
    let threads = (0..<4).map { _ in
      WorkerThread(required: "test-adder", .ordinary) {
        for _ in 0..<20_000 { sum.withLock { $0 += 1 } }
      }
    }
    for thread in threads { thread.waitForEnd() }
    #expect(sum.withLock { $0 } == 80_000)
  }

  @Test func errorsPassWithTheirType() {
    struct Refusal: Error, Equatable { let value: Int }
    let value = Locked(7)
    #expect(throws: Refusal(value: 7)) {
      try value.withLock { (value) throws(Refusal) in throw Refusal(value: value) }
    }
    #expect(value.withLock { $0 } == 7, "the lock was released")
  }

  /// A value that cannot be copied lives in a lock, and leaves it whole.
  @Test func noncopyableValuesAreMovedOut() {
    struct Ticket: ~Copyable { let number: Int }
    func number(of ticket: consuming Ticket?) -> Int? { ticket?.number }
    let box = Locked<Ticket?>(Ticket(number: 3))
    let number = number(of: box.withLock { (value) -> sending Ticket? in value.take() })
    #expect(number == 3)
    #expect(box.withLock { $0 == nil })
  }

  @Test func waitingThreadsSeeWhatWakesThem() {
    let turn = Locked(0)
    let thread = WorkerThread(required: "test-pong", .ordinary) {
      for round in 0..<500 {
        turn.waitUntil { $0 == 2 * round + 1 }
        turn.wakeAll(after: { $0 += 1 })
      }
    }
    for round in 0..<500 {
      turn.wakeAll(after: { $0 += 1 })
      turn.waitUntil { $0 == 2 * round + 2 }
    }
    thread.waitForEnd()
    #expect(turn.withLock { $0 } == 1000)
  }

  /// A wait whose time is over looks again, with no wake-up, and not before.
  @Test func waitsEndByTheMonotonicClock() {
    let looks = Locked(0)
    let start = ContinuousClock.now
    let seen: Int = looks.wait { looks in
      looks += 1
      return ContinuousClock.now - start >= .milliseconds(30)
        ? .done(looks) : .sleep(atMost: .milliseconds(30))
    }
    #expect(seen >= 2)
    #expect(ContinuousClock.now - start >= .milliseconds(30))
    // Time that is over already, or longer than any clock counts, is no mistake.
    let again: Int = looks.wait { looks in
      looks += 1
      return looks > seen + 1 ? .done(looks) : .sleep(atMost: .seconds(-1))
    }
    #expect(again == seen + 2)
  }

  /// Waiting threads look again after `wakeAll`, because of a change elsewhere.
  @Test func wakingWithoutAChangeHasThreadsLookAgain() {
    let (looks, outside) = (Locked(0, rank: .writer), Locked(false))
    let thread = WorkerThread(required: "test-waker", .ordinary) {
      // Until the other thread has found nothing once.
      looks.wait { looks in looks > 0 ? .done(()) : .sleep(atMost: .milliseconds(1)) }
      outside.withLock { $0 = true }
      looks.wakeAll()
    }
    looks.wait { looks -> Wait<Void> in
      looks += 1
      return outside.withLock { $0 } ? .done(()) : .sleep()
    }
    thread.waitForEnd()
  }
}

@Suite struct LockRankTests {
  /// The document has a row for each rank, in their order.
  @Test func theDocumentListsAllRanks() throws {
    let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent()
    let text = try String(
      contentsOf: root.appending(path: "docs/internals/concurrency.md"), encoding: .utf8)
    let table = try #require(text.components(separatedBy: "\n| rank | lock |").last)
    let rows = table.split(separator: "\n").dropFirst(2).prefix { $0.hasPrefix("|") }
    let ranks = rows.map { $0.split(separator: "`")[1] }
    #expect(ranks == LockRank.allCases.map { Substring("\($0)") })
  }

  @Test func higherRanksMayBeTaken() {
    let (session, corpus, leaf) = (
      Locked(0, rank: .session), Locked(0, rank: .corpus), Locked(0, rank: .leaf)
    )
    session.withLock { session in
      corpus.withLock { corpus in
        leaf.withLock { leaf in
          session += 1
          corpus += 1
          leaf += 1
        }
      }
      // Once released, a lock may be taken again.
      corpus.withLock { $0 += 1 }
    }
    #expect(corpus.withLock { $0 } == 2)
  }

  #if DEBUG || REPRISE_CRASH_POINTS
    /// The other way round two threads could wait for each other for ever.
    @Test func lowerRanksTrap() async {
      await #expect(processExitsWith: .failure) {
        let (session, corpus) = (Locked(0, rank: .session), Locked(0, rank: .corpus))
        corpus.withLock { _ in session.withLock { $0 += 1 } }
      }
    }

    @Test func equalRanksTrap() async {
      await #expect(processExitsWith: .failure) {
        let (one, other) = (Locked(0), Locked(0))
        one.withLock { _ in other.withLock { $0 += 1 } }
      }
    }

    /// No thread waits for another one under a lock that is held for microseconds.
    @Test func waitingUnderAShortLockTraps() async {
      await #expect(processExitsWith: .failure) {
        let (session, corpus) = (Locked(0, rank: .session), Locked(0, rank: .corpus))
        session.withLock { _ in
          corpus.wait { _ -> Wait<Void> in .sleep(atMost: .milliseconds(1)) }
        }
      }
    }
  #endif
}
