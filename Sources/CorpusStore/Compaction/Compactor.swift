import CLinux
import Foundation

/// The work on a corpus outside of the request path.
enum Compaction: String, CaseIterable {
  /// Growing parts become segments (a flush of a memtable), and sequences over the bounds leave.
  /// Inserts wait for it, so no other work may delay it.
  case sealing
  /// Several segments become one. A large merge takes many seconds.
  case merging

  /// The condition that is raised while this work fails.
  fileprivate var condition: StandingCondition.Kind {
    switch self {
    case .sealing: .sealing
    case .merging: .merging
    }
  }
}

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
  func add(_ corpus: Corpus, repairing: Bool = false) {
    sealer.add(corpus)
    merger.add(corpus, repairing: repairing)
  }

  /// Removes a corpus from the queue, and waits until no work on it is under way.
  func remove(_ corpus: Corpus) {
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

/// A thread that does one kind of compaction, corpus by corpus.
private final class CompactionThread: @unchecked Sendable {
  // @unchecked Sendable: all mutable state is guarded by `condition`.
  private let kind: Compaction
  private let didCompact: @Sendable (Corpus) -> Void
  private let condition = MonotonicCondition()
  private var queue: [Task] = []
  private var current: Corpus?
  private var isStopping = false
  private var hasStopped = false
  private let conditions: StandingConditions
  private let clock: StoreClock
  private let report: StoreReport

  private struct Task {
    let corpus: Corpus
    var repairing: Bool
    /// The earliest time of the next try: after a failure, a corpus is tried again later.
    var notBefore: ContinuousClock.Instant
  }

  /// The number of deferrals after which a merge that waits for memory is reported: a short
  /// shortage of memory is not worth a report.
  private static let deferralsBeforeReport = 6
  private static let timeBeforeRetry = Duration.seconds(5)

  init(
    _ kind: Compaction, _ conditions: StandingConditions, _ clock: StoreClock,
    _ report: @escaping StoreReport, didCompact: @escaping @Sendable (Corpus) -> Void = { _ in }
  ) {
    self.kind = kind
    self.conditions = conditions
    self.clock = clock
    self.report = report
    self.didCompact = didCompact
    let thread = Thread { [self] in
      // If cores are scarce, drafts come first.
      unsafe take_short_turns("reprise-\(kind)", 10)
      run()
    }
    thread.start()
  }

  /// Queues a corpus for compaction.
  func add(_ corpus: Corpus, repairing: Bool = false) {
    condition.withLock {
      if hasStopped { return }
      if let known = queue.firstIndex(where: { $0.corpus === corpus }) {
        queue[known].repairing = queue[known].repairing || repairing
        queue[known].notBefore = clock.now()
      } else {
        queue.append(Task(corpus: corpus, repairing: repairing, notBefore: clock.now()))
      }
      condition.broadcast()
    }
  }

  /// Removes a corpus from the queue, and waits until no work on it is under way.
  func remove(_ corpus: Corpus) {
    condition.withLock {
      while current === corpus { condition.wait() }
      queue.removeAll { $0.corpus === corpus }
    }
  }

  var workUnderWay: String? {
    condition.withLock { current.map { "\(kind) corpus \($0.name)" } }
  }

  /// Ends the thread after its current step.
  func stop() {
    condition.withLock {
      isStopping = true
      condition.broadcast()
      while !hasStopped { condition.wait() }
    }
  }

  private func run() {
    while let task = next() {
      var again: Task?
      do throws(StoreError) {
        if task.repairing { try task.corpus.repair() }
        // One step at a time, so that corpora alternate.
        let didCompact = try task.corpus.compactOnce(kind)
        let waiting = kind == .merging ? task.corpus.mergingWait : nil
        if let waiting {
          if waiting.times >= Self.deferralsBeforeReport {
            conditions.raise(kind.condition, corpus: task.corpus.name, cause: waiting.sentence)
          }
        } else {
          conditions.clear(kind.condition, corpus: task.corpus.name)
        }
        if didCompact {
          self.didCompact(task.corpus)
          again = Task(corpus: task.corpus, repairing: false, notBefore: clock.now())
        } else if waiting != nil {
          again = Task(
            corpus: task.corpus, repairing: false, notBefore: clock.now() + Self.timeBeforeRetry)
        } else if kind == .sealing, let time = task.corpus.timeBetweenExpiries {
          again = Task(corpus: task.corpus, repairing: false, notBefore: clock.now() + time)
        }
      } catch {
        switch error {
        case .closed, .cancelled: break
        case .corrupt: report(.error, "corpus \(task.corpus.name) is damaged: \(error)")
        default:
          conditions.raise(kind.condition, corpus: task.corpus.name, cause: "\(error)")
          again = Task(
            corpus: task.corpus, repairing: false, notBefore: clock.now() + Self.timeBeforeRetry)
        }
      }
      // Read outside of the lock: corpora add themselves to the queue while they hold their own
      // lock.
      let isClosing = task.corpus.isClosing
      condition.withLock {
        current = nil
        if let again, !isClosing, !queue.contains(where: { $0.corpus === again.corpus }) {
          queue.append(again)
        }
        condition.broadcast()
      }
    }
    condition.withLock {
      // The queue and the corpora refer to each other; clearing the queue breaks the cycle.
      queue = []
      hasStopped = true
      condition.broadcast()
    }
  }

  private func next() -> Task? {
    condition.withLock {
      while !isStopping {
        let now = clock.now()
        if let ready = queue.firstIndex(where: { $0.notBefore <= now }) {
          let task = queue.remove(at: ready)
          current = task.corpus
          return task
        }
        if let earliest = queue.map(\.notBefore).min() {
          condition.wait(atMost: earliest - now)
        } else {
          condition.wait()
        }
      }
      return nil
    }
  }
}
