import Concurrency
import HistoryEngine
import RepriseModel
import StoreErrors

/// The queue of jobs for the one thread that writes to a corpus's file, `WriterLoop`.
final class Writer: Sendable {
  private let corpus: CorpusName
  private let tokensWaitingMax: Int
  private let mailbox = Mailbox(WriterMail(), rank: .writer)
  /// nil if the history is only read.
  private let thread: WorkerThread?

  /// Starts the thread, which runs until `stop`.
  ///
  /// - Throws: `inaccessible` if the system refuses the thread.
  init(_ context: WriterContext, nextOrder: UInt64) throws(StoreError) {
    corpus = context.stored.corpus
    tokensWaitingMax = context.options.writeTokensWaitingMax
    do throws(WorkerThread.Refusal) {
      thread = try WorkerThread("reprise-writer", .ordinary) { [mailbox] in
        WriterLoop(context, mailbox, nextOrder: nextOrder).run()
      }
    } catch {
      throw StoreError(error, corpus: corpus)
    }
  }

  /// Creates the writer of a corpus that is only read: it refuses all jobs.
  init(refusing corpus: CorpusName) {
    self.corpus = corpus
    tokensWaitingMax = 0
    thread = nil
  }

  var isReadOnly: Bool { thread == nil }

  /// Adds a job to the queue, or has it fail when the queue is full or closed.
  func write(_ job: any WriteJob) {
    if isReadOnly { return job.didFail(.readOnly(corpus: corpus)) }
    let isAdded = mailbox.put { $0.add(job, tokensWaitingMax: tokensWaitingMax) }
    switch isAdded {
    case nil: job.didFail(.closed(corpus: corpus))
    case false?: job.didFail(.busy(retryAfterMillis: 100))
    case true?: break
    }
  }

  /// The reason why accepted sequences could not be written; nil while the thread runs.
  var lastSaveFailure: StoreError? { mailbox.update { $0.lossReason } }

  /// Wakes the thread, so that it reconsiders jobs that were held back, and reads the clock again.
  func wake() { mailbox.wakeAll() }

  /// Lets the thread finish the queued jobs, and waits for it.
  func stop() {
    mailbox.close()
    thread?.waitForEnd()
  }

  /// Writes acknowledged sequences to disk, also while the thread is ending.
  func commitAcknowledged() {
    do throws(StoreError) {
      try waitForJobs()
    } catch {
      if mailbox.isClosed { thread?.waitForEnd() }
    }
  }

  /// Has the thread save unsaved sequences and pause until `goOn`: only the caller writes in the
  /// meantime. For one caller at a time.
  ///
  /// - Throws: The reason why unsaved sequences could not be saved; `readOnly`; `closed` if the thread
  ///   has ended.
  func pause() throws(StoreError) {
    if isReadOnly { throw .readOnly(corpus: corpus) }
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

extension Writer: OutputRecorder {
  func record(
    _ text: [Int32], of session: DecodingSession,
    completion: @escaping @Sendable (Result<RecordReceipt, StoreError>) -> Void
  ) {
    write(RecordJob(session, text, completion))
  }
}
