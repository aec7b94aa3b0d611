import Foundation

/// The one thread of a store that seals and merges, corpus by corpus, off the request path.
final class Compactor: @unchecked Sendable {
  // @unchecked Sendable: all that varies is guarded by `condition`.
  private let condition = NSCondition()
  private var queue: [Task] = []
  private var current: Corpus?
  private var isStopping = false
  private var hasStopped = false
  private let report: @Sendable (String) -> Void

  private struct Task {
    let corpus: Corpus
    var verifying: Bool
    /// Not before this moment: after a failure, a corpus is tried again later.
    var notBefore: Date
  }

  private static let secondsBeforeRetry = 5.0

  init(report: @escaping @Sendable (String) -> Void) {
    self.report = report
    let thread = Thread { [self] in run() }
    thread.name = "reprise-compact"
    thread.start()
  }

  /// Has a corpus looked at soon.
  func add(_ corpus: Corpus, verifying: Bool = false) {
    condition.withLock {
      if let known = queue.firstIndex(where: { $0.corpus === corpus }) {
        queue[known].verifying = queue[known].verifying || verifying
        queue[known].notBefore = Date()
      } else {
        queue.append(Task(corpus: corpus, verifying: verifying, notBefore: Date()))
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
        if task.verifying { try task.corpus.verify() }
        // One step at a time, so that corpora take turns.
        if try task.corpus.compactOnce() {
          again = Task(corpus: task.corpus, verifying: false, notBefore: Date())
        }
      } catch {
        switch error {
        case .closed: break
        case .corrupt: report("corpus \(task.corpus.name) is damaged: \(error)")
        default:
          report("corpus \(task.corpus.name) could not be compacted: \(error)")
          again = Task(
            corpus: task.corpus, verifying: false,
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
