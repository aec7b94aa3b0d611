import Testing

@testable import Concurrency

@Suite struct WorkerTests {
  @Test func aPromiseIsKeptOnce() async {
    let promise = Promise<Int>()
    let waiting = (0..<3).map { _ in Task { await promise.value } }
    let thread = WorkerThread(required: "test-promise", .ordinary) { promise.fulfil(5) }
    #expect(promise.wait() == 5)
    for task in waiting { #expect(await task.value == 5) }
    thread.waitForEnd()
    promise.fulfil(6)
    #expect(promise.wait() == 5)
    #expect(await promise.value == 5)
  }

  /// The end of a thread is told when nothing that it kept is kept any more.
  @Test func aThreadThatHasEndedKeepsNothing() async {
    final class Kept: Sendable {}
    weak var kept: Kept?
    let thread: WorkerThread
    do {
      let strong = Kept()
      kept = strong
      thread = WorkerThread(required: "test-kept", .background) { withExtendedLifetime(strong) {} }
    }
    await thread.ended()
    #expect(kept == nil)
  }

  @Test func aQueueDoesItsWorkInOrder() async {
    let queue = WorkQueue("test-order")
    let done = Locked<[Int]>([])
    for number in 0..<100 { queue.run { done.withLock { $0.append(number) } } }
    let last = Promise<Void>()
    queue.run { last.fulfil(()) }
    await last.value
    #expect(done.withLock { $0 } == Array(0..<100))
    await queue.stop()
  }

  /// Stopping waits for the piece under way, and tells the others that they are dropped.
  @Test func aQueueThatStopsTellsWhatWaits() async {
    let queue = WorkQueue("test-stop")
    let (began, mayEnd) = (Promise<Void>(), Promise<Void>())
    let told = Locked<[String]>([])
    queue.run {
      began.fulfil(())
      mayEnd.wait()
      told.withLock { $0.append("done") }
    }
    await began.value
    for _ in 0..<2 {
      queue.run {
        told.withLock { $0.append("wrong") }
      } dropped: {
        told.withLock { $0.append("dropped") }
      }
    }
    let stopping = Task {
      await queue.stop()
      told.withLock { $0.append("stopped") }
    }
    // What waits is dropped at once, although the piece under way goes on.
    while told.withLock({ $0.count }) < 2 { await Task.yield() }
    mayEnd.fulfil(())
    await stopping.value
    queue.run {
    } dropped: {
      told.withLock { $0.append("late") }
    }
    #expect(told.withLock { $0 } == ["dropped", "dropped", "done", "stopped", "late"])
  }

  /// A mailbox's thread takes jobs in its own order, and sees to what is there after the closing.
  @Test func aMailboxIsEmptiedBeforeItsThreadEnds() {
    let mailbox = Mailbox<Set<Int>>([])
    let taken = Locked<[Int]>([])
    for number in [3, 1, 2] { #expect(mailbox.put { $0.insert(number).inserted } == true) }
    mailbox.close()
    #expect(mailbox.put { $0.insert(4).inserted } == nil)
    let thread = WorkerThread(required: "test-mailbox", .ordinary) {
      while let number: Int = mailbox.take({ contents, isClosed in
        guard let least = contents.min() else { return isClosed ? .done(nil) : .sleep() }
        contents.remove(least)
        return .done(least)
      }) {
        taken.withLock { $0.append(number) }
      }
    }
    thread.waitForEnd()
    #expect(taken.withLock { $0 } == [1, 2, 3])
  }

  @Test func aGroupIsDoneWhenAllOfItIs() async {
    let group = CompletionGroup()
    let queue = WorkQueue("test-group")
    let done = Locked(0)
    for _ in 0..<10 {
      group.enter()
      queue.run {
        done.withLock { $0 += 1 }
        group.leave()
      }
    }
    await group.finish()
    #expect(done.withLock { $0 } == 10)
    await queue.stop()
  }
}
