import CLinux
import Foundation

/// What is done to a corpus off the request path.
enum Compaction: String, CaseIterable {
  /// Growing parts become segments, and what is over the bounds leaves. Inserts wait for it, so
  /// nothing else may hold it up.
  case sealing
  /// Segments become fewer. A large one takes many seconds.
  case merging
}

/// The threads of a store that compact its corpora, one for each kind of compaction.
final class Compactor: Sendable {
  private let sealer: CompactionThread
  private let merger: CompactionThread

  /// - Parameter report: Is told, in a sentence, of trouble.
  init(report: @escaping @Sendable (String) -> Void) {
    let merger = CompactionThread(.merging, report: report)
    self.merger = merger
    sealer = CompactionThread(.sealing, report: report) { merger.add($0) }
  }

  /// Has a corpus looked at soon.
  ///
  /// - Parameter repairing: Whether its file is read anew first, because it was found damaged.
  func add(_ corpus: Corpus, repairing: Bool = false) {
    sealer.add(corpus)
    merger.add(corpus, repairing: repairing)
  }

  /// Forgets a corpus, and waits until it is no longer being worked on.
  func remove(_ corpus: Corpus) {
    sealer.remove(corpus)
    merger.remove(corpus)
  }

  /// Ends the threads after the steps that they are doing.
  func stop() {
    sealer.stop()
    merger.stop()
  }
}

/// One thread that does one kind of compaction, corpus by corpus.
private final class CompactionThread: @unchecked Sendable {
  // @unchecked Sendable: all that varies is guarded by `condition`.
  private let kind: Compaction
  private let didCompact: @Sendable (Corpus) -> Void
  private let condition = NSCondition()
  private var queue: [Task] = []
  private var current: Corpus?
  private var isStopping = false
  private var hasStopped = false
  private let report: @Sendable (String) -> Void

  private struct Task {
    let corpus: Corpus
    var repairing: Bool
    /// Not before this moment: after a failure, a corpus is tried again later.
    var notBefore: Date
  }

  private static let secondsBeforeRetry = 5.0

  init(
    _ kind: Compaction, report: @escaping @Sendable (String) -> Void,
    didCompact: @escaping @Sendable (Corpus) -> Void = { _ in }
  ) {
    self.kind = kind
    self.report = report
    self.didCompact = didCompact
    let thread = Thread { [self] in
      // Where cores are scarce, drafts come first.
      unsafe take_short_turns("reprise-\(kind)", 10)
      run()
    }
    thread.start()
  }

  /// Has a corpus looked at soon.
  func add(_ corpus: Corpus, repairing: Bool = false) {
    condition.withLock {
      if let known = queue.firstIndex(where: { $0.corpus === corpus }) {
        queue[known].repairing = queue[known].repairing || repairing
        queue[known].notBefore = Date()
      } else {
        queue.append(Task(corpus: corpus, repairing: repairing, notBefore: Date()))
      }
      condition.broadcast()
    }
  }

  /// Forgets a corpus, and waits until it is no longer being worked on.
  func remove(_ corpus: Corpus) {
    condition.withLock {
      while current === corpus { condition.wait() }
      queue.removeAll { $0.corpus === corpus }
    }
  }

  /// Ends the thread after the step that it is doing.
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
        // One step at a time, so that corpora take turns.
        if try task.corpus.compactOnce(kind) {
          didCompact(task.corpus)
          again = Task(corpus: task.corpus, repairing: false, notBefore: Date())
        } else if kind == .sealing, let seconds = task.corpus.secondsBetweenExpiries {
          again = Task(
            corpus: task.corpus, repairing: false, notBefore: Date(timeIntervalSinceNow: seconds))
        }
      } catch {
        switch error {
        case .closed, .cancelled: break
        case .corrupt: report("corpus \(task.corpus.name) is damaged: \(error)")
        default:
          report("\(kind) corpus \(task.corpus.name) failed: \(error)")
          again = Task(
            corpus: task.corpus, repairing: false,
            notBefore: Date(timeIntervalSinceNow: Self.secondsBeforeRetry))
        }
      }
      condition.withLock {
        current = nil
        if let again, !queue.contains(where: { $0.corpus === again.corpus }) {
          queue.append(again)
        }
        condition.broadcast()
      }
    }
    condition.withLock {
      hasStopped = true
      condition.broadcast()
    }
  }

  private func next() -> Task? {
    condition.withLock {
      while !isStopping {
        let now = Date()
        if let ready = queue.firstIndex(where: { $0.notBefore <= now }) {
          let task = queue.remove(at: ready)
          current = task.corpus
          return task
        }
        if let earliest = queue.map(\.notBefore).min() {
          _ = condition.wait(until: earliest)
        } else {
          condition.wait()
        }
      }
      return nil
    }
  }
}
