import Concurrency
import StoreErrors

/// The threads of a store that compact its corpora, one for each kind of compaction.
final class Compactor: Sendable {
  private let sealer: CompactionThread
  private let merger: CompactionThread

  init(_ conditions: StandingConditions, clock: StoreClock, report: @escaping StoreReport) {
    let merger = CompactionThread(.merging, conditions, clock, report)
    self.merger = merger
    sealer = CompactionThread(.sealing, conditions, clock, report) { merger.add($0) }
  }

  /// Queues a corpus for compaction.
  ///
  /// - Parameter repairing: True if its file is read anew first, because it was found damaged.
  func add(_ corpus: CompactionRequests, repairing: Bool = false) {
    sealer.add(corpus)
    merger.add(corpus, repairing: repairing)
  }

  /// Removes a corpus from the queue, and waits until no work on it is under way.
  func remove(_ corpus: CompactionRequests) {
    sealer.remove(corpus)
    merger.remove(corpus)
  }

  /// The steps under way at this moment, such as "merging corpus demo".
  var workUnderWay: [String] { [sealer.workUnderWay, merger.workUnderWay].compactMap { $0 } }

  /// Ends the threads after their current steps.
  func stop() {
    sealer.stop()
    merger.stop()
  }
}

/// A corpus that waits for compaction.
private struct CompactionTask: Sendable {
  let corpus: CompactionRequests
  /// True if its file is read again first.
  var repairing = false
  /// The earliest time of the next try: after a failure, a corpus is tried again later.
  var notBefore: ContinuousClock.Instant
}

/// The corpora that wait for a thread of compaction, and the one that it works on.
private struct CompactionTasks: Sendable {
  var waiting: [CompactionTask] = []
  var current: CompactionRequests?

  mutating func add(_ corpus: CompactionRequests, repairing: Bool, at now: ContinuousClock.Instant)
  {
    if let known = waiting.firstIndex(where: { $0.corpus === corpus }) {
      waiting[known].repairing = waiting[known].repairing || repairing
      waiting[known].notBefore = now
    } else {
      waiting.append(CompactionTask(corpus: corpus, repairing: repairing, notBefore: now))
    }
  }

  mutating func next(at now: ContinuousClock.Instant) -> Wait<CompactionTask?> {
    if let ready = waiting.firstIndex(where: { $0.notBefore <= now }) {
      let task = waiting.remove(at: ready)
      current = task.corpus
      return .done(task)
    }
    return .sleep(atMost: waiting.map(\.notBefore).min().map { $0 - now })
  }
}

/// A thread that does one kind of compaction, corpus by corpus.
private final class CompactionThread: Sendable {
  private let kind: Compaction
  private let clock: StoreClock
  private let tasks = Mailbox(CompactionTasks(), rank: .compaction)
  private let thread: WorkerThread

  init(
    _ kind: Compaction, _ conditions: StandingConditions, _ clock: StoreClock,
    _ report: @escaping StoreReport,
    didCompact: @escaping @Sendable (CompactionRequests) -> Void = { _ in }
  ) {
    self.kind = kind
    self.clock = clock
    let loop = CompactionLoop(
      kind: kind, tasks: tasks, conditions: conditions, clock: clock, report: report,
      didCompact: didCompact)
    thread = WorkerThread(required: "reprise-\(kind)", .background) { loop.run() }
  }

  /// Queues a corpus for compaction.
  func add(_ corpus: CompactionRequests, repairing: Bool = false) {
    let now = clock.now()
    _ = tasks.put { $0.add(corpus, repairing: repairing, at: now) }
  }

  /// Removes a corpus from the queue, and waits until no work on it is under way.
  func remove(_ corpus: CompactionRequests) {
    tasks.take { tasks, _ in
      tasks.waiting.removeAll { $0.corpus === corpus }
      return tasks.current === corpus ? .sleep() : .done(())
    }
  }

  var workUnderWay: String? {
    tasks.update { $0.current }.map { "\(kind) corpus \($0.corpus)" }
  }

  /// Ends the thread after its current step.
  func stop() {
    tasks.close()
    thread.waitForEnd()
    // The queue and the corpora refer to each other; clearing the queue breaks the cycle.
    tasks.update { $0.waiting = [] }
  }
}

/// The work of such a thread.
private struct CompactionLoop: Sendable {
  let kind: Compaction
  let tasks: Mailbox<CompactionTasks>
  let conditions: StandingConditions
  let clock: StoreClock
  let report: StoreReport
  let didCompact: @Sendable (CompactionRequests) -> Void

  /// The time after which a merge that waits for memory is reported: a short shortage of memory is
  /// not worth a report.
  private static let waitBeforeReport = Duration.seconds(30)
  private static let timeBeforeRetry = Duration.seconds(5)

  func run() {
    while let task = next() {
      let delay = compact(task)
      // Read outside of the lock: corpora add themselves to the queue while they hold their own
      // lock.
      let isClosing = task.corpus.work?.isClosing ?? true
      let now = clock.now()
      tasks.update { tasks in
        tasks.current = nil
        guard let delay, !isClosing,
          !tasks.waiting.contains(where: { $0.corpus === task.corpus })
        else { return }
        tasks.waiting.append(CompactionTask(corpus: task.corpus, notBefore: now + delay))
      }
    }
  }

  private func next() -> CompactionTask? {
    tasks.take { tasks, isClosed in
      isClosed ? .done(nil) : tasks.next(at: clock.now())
    }
  }

  /// Does one step of a corpus, so that corpora alternate.
  ///
  /// - Returns: The time after which the corpus is to be looked at again; nil for when it asks for it.
  private func compact(_ task: CompactionTask) -> Duration? {
    let corpus = task.corpus.corpus
    guard let work = task.corpus.work else { return nil }
    do throws(StoreError) {
      if task.repairing { try work.repair() }
      let didCompact = try work.compactOnce(kind)
      let waiting = kind == .merging ? work.mergingWait : nil
      if let waiting {
        if clock.now() - waiting.since >= Self.waitBeforeReport {
          conditions.raise(kind.condition, corpus: corpus, cause: waiting.sentence)
        }
      } else {
        conditions.clear(kind.condition, corpus: corpus)
      }
      if didCompact {
        self.didCompact(task.corpus)
        return .zero
      }
      if waiting != nil { return Self.timeBeforeRetry }
      return work.timeBeforeNextLook(kind)
    } catch {
      switch error {
      case .closed, .cancelled: return nil
      case .corrupt:
        report(.error, "corpus \(corpus) is damaged: \(error)")
        return nil
      default:
        conditions.raise(kind.condition, corpus: corpus, cause: "\(error)")
        return Self.timeBeforeRetry
      }
    }
  }
}

extension Compaction {
  /// The condition that is raised while this work fails.
  fileprivate var condition: StandingCondition.Kind {
    switch self {
    case .sealing: .sealing
    case .merging: .merging
    }
  }
}
