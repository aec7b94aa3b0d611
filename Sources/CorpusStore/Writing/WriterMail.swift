import StoreErrors

/// The mail of the writer thread: jobs and requests.
struct WriterMail: Sendable {
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
