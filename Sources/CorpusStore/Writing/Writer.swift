import Concurrency
import RepriseModel

/// The way to the one thread that writes to a corpus's file: jobs wait here until `WriterLoop` takes
/// them.
final class Writer: Sendable {
  private let tokensWaitingMax: Int
  private let mailbox = Mailbox(WriterMail(), rank: .writer)
  private let thread: WorkerThread

  init(
    nextOrder: UInt64, durability: Durability, tokensWaitingMax: Int, clock: StoreClock
  ) {
    self.tokensWaitingMax = tokensWaitingMax
    thread = WorkerThread("reprise-writer", .ordinary) { [mailbox] in
      let corpus: Corpus? = mailbox.take { mail, isClosed in
        if let corpus = mail.corpus.take() { return .done(corpus) }
        return isClosed ? .done(nil) : .sleep()
      }
      guard let corpus else { return }
      let loop = WriterLoop(
        corpus, mailbox, nextOrder: nextOrder, durability: durability, clock: clock)
      loop.run()
    }
  }

  /// Begins writing for a corpus, which is kept alive until `stop`.
  func start(_ corpus: Corpus) { mailbox.update { $0.corpus = corpus } }

  /// Adds a job to the queue. Returns an error instead when the queue is full or closed.
  func enqueue(_ job: any WriteJob, of corpus: CorpusName) -> StoreError? {
    let isAdded = mailbox.put { $0.add(job, tokensWaitingMax: tokensWaitingMax) }
    switch isAdded {
    case nil: return .closed(corpus: corpus)
    case false?: return .busy(retryAfterMillis: 100)
    case true?: return nil
    }
  }

  /// The reason why accepted sequences could not be written; nil while the thread runs.
  var lastSaveFailure: StoreError? { mailbox.update { $0.lossReason } }

  /// Wakes the thread, so that it reconsiders jobs that were held back.
  func wake() { mailbox.wakeAll() }

  /// Lets the thread finish the queued jobs, and waits for it.
  func stop() {
    mailbox.close()
    thread.waitForEnd()
  }

  /// If the thread is about to end, waits until it has ended.
  func waitIfStopping() {
    if mailbox.isClosed { thread.waitForEnd() }
  }

  /// Has the thread save unsaved sequences and pause until `goOn`: only the caller writes in the
  /// meantime. For one caller at a time.
  ///
  /// - Throws: The reason why unsaved sequences could not be saved; `closed` if the thread has ended.
  func pause(of corpus: CorpusName) throws(StoreError) {
    if mailbox.put({ $0.pause = .requested }) == nil { throw .closed(corpus: corpus) }
    let failure: StoreError?? = mailbox.take { mail, _ in
      if mail.hasEnded { return .done(nil) }
      if case .reached(let failure) = mail.pause { return .done(.some(failure)) }
      return .sleep()
    }
    guard let failure else { throw .closed(corpus: corpus) }
    if let failure {
      goOn(nextOrder: nil)
      throw failure
    }
  }

  /// Ends a pause.
  ///
  /// - Parameter nextOrder: The next order number, if the file was replaced.
  func goOn(nextOrder: UInt64?) {
    mailbox.update { $0.pause = .over(nextOrder: nextOrder) }
    // The next pause is requested only after the thread has seen the end of this one.
    mailbox.waitUntil { mail in
      if case .none = mail.pause { true } else { mail.hasEnded }
    }
  }
}

/// The mail of the writer thread: jobs and requests.
struct WriterMail: Sendable {
  /// The corpus to begin with, until the thread has taken it.
  var corpus: Corpus?
  /// Jobs that compaction may hold back, and those that it may not.
  private var held: [any WriteJob] = []
  private var urgent: [any WriteJob] = []
  private var tokensHeld = 0
  var pause = Pause.none
  var hasEnded = false
  /// The reason why accepted sequences could not be written before the thread ended.
  var lossReason: StoreError?

  enum Pause {
    case none
    case requested
    /// The thread is paused. The failure tells why unsaved sequences could not be saved.
    case reached(failure: StoreError?)
    /// The thread may continue, with another order number if there is one.
    case over(nextOrder: UInt64?)
  }

  /// The most tokens in one transaction, so that an insert never waits for seconds behind others.
  private static let tokensPerCommitMax = 1 << 20

  /// True if nothing is left to do.
  var isEmpty: Bool { held.isEmpty && urgent.isEmpty }

  /// - Returns: False if there is no room for it.
  mutating func add(_ job: any WriteJob, tokensWaitingMax: Int) -> Bool {
    let admission = job.admission
    if !admission.waitsForCompaction {
      urgent.append(job)
      return true
    }
    // A job that alone exceeds the bound is accepted when no other waits.
    if tokensHeld > 0 && tokensHeld + admission.tokensWaiting > tokensWaitingMax { return false }
    held.append(job)
    tokensHeld += admission.tokensWaiting
    return true
  }

  /// Takes the jobs that may be written together.
  ///
  /// - Parameters:
  ///   - roomIsAwaited: True while the oldest sequences leave to make room.
  ///   - compactionIsAwaited: True if compaction has to catch up first.
  mutating func take(roomIsAwaited: Bool, compactionIsAwaited: Bool) -> [any WriteJob] {
    var jobs: [any WriteJob] = []
    urgent.removeAll { job in
      if roomIsAwaited && job.admission.waitsForRoom { return false }
      jobs.append(job)
      return true
    }
    if roomIsAwaited || compactionIsAwaited { return jobs }
    var count = 0
    var tokens = 0
    while count < held.count && tokens < Self.tokensPerCommitMax {
      tokens += held[count].admission.tokensWaiting
      count += 1
    }
    jobs += held.prefix(count)
    held.removeFirst(count)
    tokensHeld -= tokens
    return jobs
  }

  /// Puts back the jobs after one for which there is no room yet.
  mutating func putBack(_ jobs: [any WriteJob]) {
    urgent.insert(contentsOf: jobs.filter { !$0.admission.waitsForCompaction }, at: 0)
    let held = jobs.filter(\.admission.waitsForCompaction)
    self.held.insert(contentsOf: held, at: 0)
    tokensHeld += held.reduce(0) { $0 + $1.admission.tokensWaiting }
  }
}
