import CLinux
import Foundation
import LMDB

/// The only thread that writes to a corpus's file.
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
final class Writer: @unchecked Sendable {
  // @unchecked Sendable: the queue is guarded by `condition`; `orders` and all state of unsaved
  // jobs belong to the thread.
  private let tokensWaitingMax: Int
  private let condition = MonotonicCondition()
  private let clock: StoreClock
  /// Jobs that compaction may hold back, and those that it may not.
  private var waiting: [any WriteJob] = []
  private var urgent: [any WriteJob] = []
  private var tokensWaiting = 0
  private var isStopping = false
  private var hasStopped = false
  private var pause = Pause.none

  private enum Pause {
    case none
    case requested
    case reached
  }

  /// The order number that the next sequence gets.
  private var nextOrder: UInt64
  /// Half of the window in which accepted jobs must get to the disk; nil for durability `commit`.
  private let saveInterval: Duration?
  private var unsaved: [any WriteJob] = []
  private var unsavedSequences = 0
  /// The time at which the oldest of them was accepted.
  private var unsavedSince: ContinuousClock.Instant?
  private var unsavedIDs: [String: UInt64] = [:]
  private var saveTime: ContinuousClock.Instant?
  /// The error of the last attempt to write unsaved jobs.
  private var saveFailure: StoreError?

  /// The most tokens in one transaction, so that an insert never waits for seconds behind others.
  private static let tokensPerCommitMax = 1 << 20

  init(
    nextOrder: UInt64, durability: Durability, tokensWaitingMax: Int, clock: StoreClock
  ) {
    self.clock = clock
    self.nextOrder = nextOrder
    self.tokensWaitingMax = tokensWaitingMax
    saveInterval =
      switch durability {
      case .commit: nil
      case .interval(let millis): .milliseconds(millis) / 2
      }
  }

  /// Begins writing for a corpus, which is kept alive until `stop`.
  func start(_ corpus: Corpus) {
    let thread = Thread { [self] in
      unsafe take_short_turns("reprise-writer", 0)
      run(corpus)
      condition.withLock {
        hasStopped = true
        condition.broadcast()
      }
    }
    thread.start()
  }

  /// Adds a job to the queue. Returns an error instead when the queue is full or closed.
  func enqueue(_ job: any WriteJob, of corpus: String) -> StoreError? {
    condition.withLock {
      if isStopping { return .closed(corpus: corpus) }
      if !job.waitsForCompaction {
        urgent.append(job)
      } else {
        // A job that alone exceeds the bound is accepted when no other waits.
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

  /// The reason why accepted jobs could not be written. Call it only when the thread has ended or
  /// is paused.
  var lastSaveFailure: StoreError? { condition.withLock { hasStopped } ? saveFailure : nil }

  /// Wakes the thread, so that it reconsiders jobs that were held back.
  func wake() {
    condition.withLock { condition.broadcast() }
  }

  /// Lets the thread finish the queued jobs, and waits for it.
  func stop() {
    condition.withLock {
      isStopping = true
      condition.broadcast()
      while !hasStopped { condition.wait() }
    }
  }

  /// If the thread is about to end, waits until it has ended.
  func waitIfStopping() {
    condition.withLock {
      while isStopping && !hasStopped { condition.wait() }
    }
  }

  /// Has the thread save unsaved jobs and pause while `body` runs: only `body` writes in the
  /// meantime.
  ///
  /// - Parameter body: May replace the corpus's file, and then returns the next order number.
  /// - Throws: The error of `body`, or `closed` if the thread has ended.
  func pausing(
    of corpus: String, _ body: () throws(StoreError) -> UInt64?
  ) throws(StoreError) {
    let isRunning = condition.withLock {
      if isStopping { return false }
      pause = .requested
      condition.broadcast()
      while pause != .reached && !hasStopped { condition.wait() }
      return !hasStopped
    }
    guard isRunning else { throw .closed(corpus: corpus) }
    defer {
      condition.withLock {
        pause = .none
        condition.broadcast()
      }
    }
    if !unsaved.isEmpty, let saveFailure { throw saveFailure }
    // The thread is paused, so its state may be changed here.
    if let nextOrder = try body() { self.nextOrder = nextOrder }
  }

  // MARK: The thread

  private func run(_ corpus: Corpus) {
    while let jobs = nextJobs(corpus) {
      carryOut(jobs, corpus)
      if isToPause {
        if !unsaved.isEmpty { save(corpus) }
        standStill()
      }
      if let saveTime, saveTime <= clock.now() { save(corpus) }
      corpus.beginPartIfFull()
    }
    // Accepted jobs are saved before the thread ends, if that is possible at all.
    if !unsaved.isEmpty { save(corpus) }
    // Jobs keep sessions, which keep their corpus, which keeps this writer: clearing breaks the
    // cycle.
    unsaved = []
  }

  private var isToPause: Bool { condition.withLock { pause == .requested } }

  private func standStill() {
    condition.withLock {
      pause = .reached
      condition.broadcast()
      while pause == .reached { condition.wait() }
    }
  }

  /// Waits for jobs, for the time to save, or for a pause. Returns nil when the writer was stopped
  /// and all jobs are done.
  private func nextJobs(_ corpus: Corpus) -> [any WriteJob]? {
    condition.withLock {
      while true {
        if pause == .requested { return [] }
        let roomIsAwaited = corpus.isMakingRoom
        var jobs: [any WriteJob] = []
        urgent.removeAll { job in
          if roomIsAwaited && job.waitsForRoom { return false }
          jobs.append(job)
          return true
        }
        if !roomIsAwaited && (isStopping || !corpus.mustWaitForCompaction) {
          var count = 0
          var tokens = 0
          while count < waiting.count && tokens < Self.tokensPerCommitMax {
            tokens += waiting[count].tokenCount
            count += 1
          }
          jobs += waiting.prefix(count)
          waiting.removeFirst(count)
          tokensWaiting -= tokens
        }
        if !jobs.isEmpty { return jobs }
        if isStopping && waiting.isEmpty && urgent.isEmpty { return nil }
        if let saveTime {
          let time = saveTime - clock.now()
          if time <= .zero { return [] }
          condition.wait(atMost: time)
        } else {
          condition.wait()
        }
      }
    }
  }

  /// Puts back the jobs after one for which there is no room yet.
  private func putBack(_ jobs: [any WriteJob]) {
    condition.withLock {
      urgent.insert(contentsOf: jobs.filter { !$0.waitsForCompaction }, at: 0)
      let held = jobs.filter(\.waitsForCompaction)
      waiting.insert(contentsOf: held, at: 0)
      tokensWaiting += held.reduce(0) { $0 + $1.tokenCount }
    }
  }

  private func carryOut(_ jobs: [any WriteJob], _ corpus: Corpus) {
    if jobs.isEmpty { return }
    if let failure = corpus.displacement {
      for job in jobs { job.didFail(failure, corpus) }
      return
    }
    let sizeBefore = corpus.size
    let seconds = clock.wallSeconds()
    corpus.noteWallClock(seconds: seconds, nextOrder: nextOrder)
    var planning: WritePlanning
    do throws(StoreError) {
      planning = try WritePlanning(
        corpus.file, size: sizeBefore, nextOrder: nextOrder, seconds: seconds,
        unsavedIDs: unsavedIDs)
    } catch {
      for job in jobs { job.didFail(error, corpus) }
      return
    }
    var prepared: [any WriteJob] = []
    var held: [any WriteJob] = []
    var needed: HistorySize?
    for job in jobs {
      if needed != nil && job.waitsForRoom {
        held.append(job)
        continue
      }
      if let saveFailure, job.mayBeUnsaved, saveInterval != nil {
        job.didFail(saveFailure, corpus)
        continue
      }
      do throws(WriteRefusal) {
        try job.prepare(&planning)
        prepared.append(job)
      } catch {
        switch error {
        case .refused(let reason): job.didFail(reason, corpus)
        case .needsRoom(let size):
          if let reason = corpus.takeRoomFailure() {
            job.didFail(reason, corpus)
          } else {
            needed = size
            held.append(job)
          }
        }
      }
    }
    if let saveInterval, prepared.allSatisfy(\.mayBeUnsaved) {
      unsaved += prepared
      unsavedSequences += planning.size.sequences - sizeBefore.sequences
      if unsavedSince == nil && unsavedSequences > 0 { unsavedSince = clock.now() }
      corpus.noteUnsaved(sequences: unsavedSequences, since: unsavedSince)
      unsavedIDs = planning.unsavedIDs
      nextOrder = planning.nextOrder
      if saveTime == nil && !unsaved.isEmpty { saveTime = clock.now() + saveInterval }
      for job in prepared { job.didAccept(corpus) }
    } else if !prepared.isEmpty {
      let next = planning.nextOrder
      // It reads the previous state, and would keep pages in use that this commit frees.
      _ = consume planning
      commit(prepared, nextOrder: next, corpus)
    }
    if let needed {
      putBack(held)
      corpus.makeRoom(for: needed)
    }
  }

  /// Writes prepared jobs, and before them the unsaved ones.
  private func commit(_ jobs: [any WriteJob], nextOrder next: UInt64, _ corpus: Corpus) {
    do throws(StoreError) {
      try write(unsaved + jobs, nextOrder: next, corpus)
    } catch {
      if jobs.count == 1 && unsaved.isEmpty {
        for job in jobs { job.didFail(error, corpus) }
      } else {
        if !unsaved.isEmpty { save(corpus) }
        // One by one. Each is prepared anew, because those before it may fail.
        for job in jobs {
          if let saveFailure { job.didFail(saveFailure, corpus) } else { carryOut([job], corpus) }
        }
      }
      return
    }
    nextOrder = next
    didSave(corpus)
    for job in jobs { job.didAccept(corpus) }
    // The view moves on with every commit, so that it keeps no page in use longer than that. This
    // comes after the jobs, because one of them may have installed a view without segments that
    // this commit freed.
    corpus.renewView()
    for job in jobs { job.didMoveView() }
  }

  /// Writes accepted jobs that are not on disk yet.
  private func save(_ corpus: Corpus) {
    do throws(StoreError) {
      if let failure = corpus.displacement { throw failure }
      try write(unsaved, nextOrder: nextOrder, corpus)
      didSave(corpus)
      corpus.renewView()
    } catch {
      saveFailure = error
      corpus.noteSaving(failure: error)
      saveTime = saveInterval.map { clock.now() + $0 }
    }
  }

  private func write(
    _ jobs: [any WriteJob], nextOrder: UInt64, _ corpus: Corpus
  ) throws(StoreError) {
    let file = corpus.file
    let start = ContinuousClock.now
    try file.write(nextOrder: nextOrder) { (transaction) throws(LMDBError) in
      for job in jobs { try job.write(transaction, file) }
    }
    let seconds = (ContinuousClock.now - start) / .seconds(1)
    corpus.activity.note { $0.commits.add(seconds) }
  }

  private func didSave(_ corpus: Corpus) {
    if unsavedSequences > 0 { corpus.noteUnsaved(sequences: 0, since: nil) }
    if saveFailure != nil { corpus.noteSaving(failure: nil) }
    unsavedSince = nil
    unsaved.removeAll()
    unsavedSequences = 0
    unsavedIDs.removeAll()
    saveTime = nil
    saveFailure = nil
  }
}
