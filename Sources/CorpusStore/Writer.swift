import Foundation
import LMDB

/// The one thread that writes to a corpus's file.
///
/// It takes all jobs that wait, writes them in one transaction and commits (group commit: an fsync
/// costs a third of a millisecond whether it is for one sequence or a thousand), then brings memory
/// up to date and answers. A job that is refused fails alone. When the transaction itself fails,
/// each of its jobs is tried in one of its own, so that one that is too large does not take others
/// with it.
final class Writer: @unchecked Sendable {
  // @unchecked Sendable: the queue is guarded by `condition`; everything else belongs to the thread.
  private let file: CorpusFile
  private let tokensWaitingMax: Int
  private let condition = NSCondition()
  private var waiting: [any WriteJob] = []
  /// Jobs that cannot be held back.
  private var urgent: [any WriteJob] = []
  private var tokensWaiting = 0
  private var isStopping = false
  private var hasStopped = false
  private var orders: OrderCounter

  /// Most tokens in one transaction, so that an insert never waits for seconds behind others.
  private static let tokensPerCommitMax = 1 << 20

  init(_ file: CorpusFile, nextOrder: UInt64, tokensWaitingMax: Int) {
    self.file = file
    self.tokensWaitingMax = tokensWaitingMax
    orders = OrderCounter(next: nextOrder)
  }

  /// Begins writing for a corpus, which is kept alive until `stop`.
  func start(_ corpus: Corpus) {
    let thread = Thread { [self] in
      run(corpus)
      condition.withLock {
        hasStopped = true
        condition.broadcast()
      }
    }
    thread.name = "reprise-writer"
    thread.start()
  }

  /// Adds a job to the queue. Returns an error instead when the queue is full or closed.
  func enqueue(_ job: any WriteJob) -> StoreError? {
    condition.withLock {
      if isStopping { return .closed(corpus: file.path) }
      if !job.canBeHeldBack {
        urgent.append(job)
      } else {
        // A job that alone exceeds the bound is taken when nothing else waits.
        if tokensWaiting > 0 && tokensWaiting + job.tokenCount > tokensWaitingMax {
          return .busy(retryAfterMillis: 100)
        }
        waiting.append(job)
        tokensWaiting += job.tokenCount
      }
      condition.signal()
      return nil
    }
  }

  /// Tells the thread that inserts, held back for compaction, may go on.
  func wake() {
    condition.withLock { condition.broadcast() }
  }

  /// Lets the thread finish what was enqueued, and waits for it.
  func stop() {
    condition.withLock {
      isStopping = true
      condition.broadcast()
      while !hasStopped { condition.wait() }
    }
  }

  private func run(_ corpus: Corpus) {
    while true {
      let jobs = nextJobs(corpus)
      if jobs.isEmpty { return }
      commit(jobs, corpus)
      corpus.beginPartIfFull()
    }
  }

  /// Waits for jobs. Empty when the writer was stopped and all is done.
  private func nextJobs(_ corpus: Corpus) -> [any WriteJob] {
    condition.withLock {
      while true {
        var jobs = urgent
        urgent.removeAll()
        if !waiting.isEmpty && (isStopping || !corpus.mustWaitForCompaction) {
          var count = 0
          var tokens = 0
          repeat {
            tokens += waiting[count].tokenCount
            count += 1
          } while count < waiting.count && tokens < Self.tokensPerCommitMax
          jobs += waiting.prefix(count)
          waiting.removeFirst(count)
          tokensWaiting -= tokens
        }
        if !jobs.isEmpty { return jobs }
        if isStopping && waiting.isEmpty { return [] }
        condition.wait()
      }
    }
  }

  private func commit(_ jobs: [any WriteJob], _ corpus: Corpus) {
    let ordersBefore = orders
    var written: [any WriteJob] = []
    var refused: [any WriteJob] = []
    var failure: LMDBError?
    do throws(LMDBError) {
      let transaction = try WriteTransaction(file.environment)
      for job in jobs {
        do throws(WriteFailure) {
          try job.write(transaction, file, &orders)
          written.append(job)
        } catch {
          switch error {
          case .refused(let reason):
            refused.append(job)
            job.didFail(reason, corpus)
          case .storage(let reason): throw reason
          }
        }
      }
      try transaction.commit()
    } catch {
      failure = error
    }
    guard let failure else {
      for job in written { job.didCommit(corpus) }
      // The view moves on with every commit, so that it pins no page longer than that. It comes
      // after the jobs, because one of them may have installed a view without segments that this
      // commit freed.
      corpus.renewView()
      return
    }
    orders = ordersBefore
    let unanswered = jobs.filter { job in !refused.contains { $0 === job } }
    if jobs.count == 1 {
      for job in unanswered { job.didFail(file.error(failure), corpus) }
    } else {
      for job in unanswered { commit([job], corpus) }
    }
  }
}

func secondsNow() -> UInt64 { UInt64(Date().timeIntervalSince1970) }
