import Concurrency
import CorpusFormat
import HistoryEngine
import LMDB
import RepriseModel
import StoreErrors

/// The work of the only thread that writes to a corpus's file.
///
/// It takes all waiting jobs, prepares them, writes them in one transaction and commits (group
/// commit: an fsync costs a third of a millisecond for one sequence and for a thousand), then
/// accepts them. A job that is refused fails alone. If the transaction itself fails, each of its
/// jobs is retried in a transaction of its own, so that one that is too large does not fail the
/// others.
///
/// With durability `interval`, sequences are accepted when they are prepared, and written together
/// when half of the window has passed, or with the next change of compaction. While writing them
/// fails, for example because the disk is full, no further sequence is accepted, and writing is
/// retried every half window.
final class WriterLoop {
  private let context: WriterContext
  private let mailbox: Mailbox<WriterMail>
  private let clock: StoreClock
  /// The order number that the next sequence gets.
  private var nextOrder: UInt64
  /// Half of the window in which accepted jobs must get to the disk; nil for durability `commit`.
  private let saveInterval: Duration?
  private var unsaved: [LogAddition] = []
  private var unsavedSequences = 0
  /// The time at which the oldest of them was accepted.
  private var unsavedSince: ContinuousClock.Instant?
  private var unsavedIDs: [String: UInt64] = [:]
  private var saveTime: ContinuousClock.Instant?
  /// The error of the last attempt to write unsaved jobs.
  private var saveFailure: StoreError?

  init(_ context: WriterContext, _ mailbox: Mailbox<WriterMail>, nextOrder: UInt64) {
    self.context = context
    self.mailbox = mailbox
    self.nextOrder = nextOrder
    clock = context.options.clock
    saveInterval =
      switch context.durability {
      case .commit: nil
      case .interval(let millis): .milliseconds(millis) / 2
      }
  }

  /// Returns when the writer was stopped and all is done.
  func run() {
    while let jobs = nextJobs() {
      // Nothing is kept of answered jobs while the writer stands still.
      carryOut(consume jobs)
      standStillIfAsked()
      if let saveTime, saveTime <= clock.now() { save() }
      context.parts.beginIfFull()
    }
    // Accepted jobs are saved before the thread ends, if that is possible at all.
    if !unsaved.isEmpty { save() }
    mailbox.update { [saveFailure] mail in
      mail.lossReason = saveFailure
      mail.hasEnded = true
    }
  }

  private func standStillIfAsked() {
    let isAsked = mailbox.update { mail in
      if case .requested = mail.pause { true } else { false }
    }
    if !isAsked { return }
    if !unsaved.isEmpty { save() }
    let failure = unsaved.isEmpty ? nil : saveFailure
    mailbox.update { $0.pause = .reached(failure: failure) }
    let newOrder: UInt64? = mailbox.take { mail, _ in
      if case .over(let nextOrder) = mail.pause { .done(nextOrder) } else { .sleep() }
    }
    if let newOrder { nextOrder = newOrder }
    mailbox.update { $0.pause = .none }
  }

  /// Waits for jobs, for the time to save, or for a pause. Returns nil when the writer was stopped
  /// and all jobs are done.
  private func nextJobs() -> [any WriteJob]? {
    mailbox.take { mail, isStopping in
      if case .requested = mail.pause { return .done([]) }
      let jobs = mail.take(
        roomIsAwaited: context.room.needed != nil && !isClosing,
        compactionIsAwaited: !isStopping && context.progress.isBehind(of: history))
      if !jobs.isEmpty { return .done(jobs) }
      if isStopping && mail.isEmpty { return .done(nil) }
      guard let saveTime else { return .sleep() }
      let time = saveTime - clock.now()
      return time <= .zero ? .done([]) : .sleep(atMost: time)
    }
  }

  private var history: SharedHistory { context.stored.history }

  /// True if long work should end: no room is made any more, and jobs that wait for some fail.
  private var isClosing: Bool { context.options.cancellation.isCancelled }

  private func carryOut(_ jobs: consuming [any WriteJob]) {
    if jobs.isEmpty { return }
    if let failure = context.placement.examine() {
      for job in jobs { job.didFail(failure) }
      return
    }
    let sizeBefore = history.size
    let seconds = clock.wallSeconds()
    context.stored.noteWallClock(seconds: seconds, nextOrder: nextOrder)
    var planning: WritePlanning
    do throws(StoreError) {
      planning = try WritePlanning(
        context.stored.file, size: sizeBefore, nextOrder: nextOrder, seconds: seconds,
        unsavedIDs: unsavedIDs)
    } catch {
      for job in jobs { job.didFail(error) }
      return
    }
    var prepared: [any PreparedJob] = []
    var held: [any WriteJob] = []
    var needed: HistorySize?
    for job in jobs {
      if needed != nil && job.admission.waitsForRoom {
        held.append(job)
        continue
      }
      if let saveFailure, job.admission.mayBeUnsaved, saveInterval != nil {
        job.didFail(saveFailure)
        continue
      }
      do throws(WriteRefusal) {
        prepared.append(try job.prepare(&planning))
      } catch {
        switch error {
        case .refused(let reason): job.didFail(reason)
        case .needsRoom(let size):
          if let reason = takeRoomFailure() {
            job.didFail(reason)
          } else {
            needed = size
            held.append(job)
          }
        }
      }
    }
    if let saveInterval, prepared.allSatisfy(\.job.admission.mayBeUnsaved) {
      acceptUnsaved(prepared, planning, sizeBefore, saveInterval)
    } else if !prepared.isEmpty {
      let next = planning.nextOrder
      // It reads the previous state, and would keep pages in use that this commit frees.
      _ = consume planning
      commit(prepared, nextOrder: next)
    }
    if let needed {
      mailbox.update { [held] in $0.putBack(held) }
      context.room.begin(needed)
      context.roomMaker.makeRoom()
    }
  }

  private func takeRoomFailure() -> StoreError? {
    isClosing ? .closed(corpus: context.stored.corpus) : context.room.takeFailure()
  }

  /// Accepts jobs that will be on disk when half of the window has passed.
  private func acceptUnsaved(
    _ jobs: [any PreparedJob], _ planning: borrowing WritePlanning, _ sizeBefore: HistorySize,
    _ saveInterval: Duration
  ) {
    // Nothing else of a job is kept: what waits for its answer goes with it, and a service that stops
    // waits for just that.
    unsaved += jobs.map(\.addition).filter { !$0.sequences.isEmpty }
    unsavedSequences += planning.size.sequences - sizeBefore.sequences
    if unsavedSince == nil && unsavedSequences > 0 { unsavedSince = clock.now() }
    context.unsaved.note(sequences: unsavedSequences, since: unsavedSince)
    unsavedIDs = planning.unsavedIDs
    nextOrder = planning.nextOrder
    if saveTime == nil && !unsaved.isEmpty { saveTime = clock.now() + saveInterval }
    for var job in jobs { job.didAccept(context) }
  }

  /// Writes prepared jobs, and before them the unsaved ones.
  private func commit(_ jobs: [any PreparedJob], nextOrder next: UInt64) {
    do throws(StoreError) {
      try write(jobs, nextOrder: next)
    } catch {
      if jobs.count == 1 && unsaved.isEmpty {
        for job in jobs { job.job.didFail(error) }
      } else {
        if !unsaved.isEmpty { save() }
        // One by one. Each is prepared anew, because those before it may fail.
        for job in jobs {
          if let saveFailure {
            job.job.didFail(saveFailure)
          } else {
            carryOut([job.job])
          }
        }
      }
      return
    }
    nextOrder = next
    didSave()
    var accepted: [any PreparedJob] = []
    for var job in jobs {
      job.didAccept(context)
      accepted.append(job)
    }
    // The view moves on with every commit, so that it keeps no page in use longer than that. This
    // comes after the jobs, because one of them may have installed a view without segments that
    // this commit freed.
    context.stored.renewView()
    for job in accepted { job.didMoveView() }
  }

  /// Writes accepted jobs that are not on disk yet.
  private func save() {
    do throws(StoreError) {
      if let failure = context.placement.examine() { throw failure }
      try write([], nextOrder: nextOrder)
      didSave()
      context.stored.renewView()
    } catch {
      saveFailure = error
      context.unsaved.noteSaving(failure: error)
      saveTime = saveInterval.map { clock.now() + $0 }
    }
  }

  private func write(_ jobs: [any PreparedJob], nextOrder: UInt64) throws(StoreError) {
    let file = context.stored.file
    let start = ContinuousClock.now
    try file.write(nextOrder: nextOrder) { (transaction) throws(LMDBError) in
      for addition in unsaved { try addition.write(transaction, file) }
      for job in jobs { try job.write(transaction, file) }
    }
    let seconds = (ContinuousClock.now - start) / .seconds(1)
    context.activity.note { $0.commits.add(seconds) }
  }

  private func didSave() {
    if unsavedSequences > 0 { context.unsaved.note(sequences: 0, since: nil) }
    if saveFailure != nil { context.unsaved.noteSaving(failure: nil) }
    unsavedSince = nil
    unsaved.removeAll()
    unsavedSequences = 0
    unsavedIDs.removeAll()
    saveTime = nil
    saveFailure = nil
  }
}
