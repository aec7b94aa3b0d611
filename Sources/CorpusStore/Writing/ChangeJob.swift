import Concurrency
import CorpusFormat
import LMDB
import StoreErrors

/// A change that compaction or an operator makes. Its closures run on the writer thread.
struct ChangeJob: WriteJob {
  typealias Planning = @Sendable (inout WritePlanning) throws(WriteRefusal) -> Void
  typealias Change =
    @Sendable (borrowing WriteTransaction, CorpusFile) throws(LMDBError) -> Void
  typealias Installation = @Sendable () throws(StoreError) -> Void

  fileprivate let planning: Planning?
  fileprivate let change: Change
  fileprivate let installation: Installation
  fileprivate let result = Promise<Result<Void, StoreError>>()

  var admission: Admission { planning == nil ? .change : .adoption }

  func prepare(_ planning: inout WritePlanning) throws(WriteRefusal) -> any PreparedJob {
    if let prepare = self.planning { try prepare(&planning) }
    return PreparedChange(self)
  }

  func didFail(_ error: StoreError) { result.fulfil(.failure(error)) }
}

private struct PreparedChange: PreparedJob {
  private let change: ChangeJob
  private var outcome = Result<Void, StoreError>.success(())

  init(_ change: ChangeJob) {
    self.change = change
  }

  var job: any WriteJob { change }

  func write(_ transaction: borrowing WriteTransaction, _ file: CorpusFile) throws(LMDBError) {
    try change.change(transaction, file)
  }

  mutating func didAccept(_ context: WriterContext) {
    do throws(StoreError) {
      try change.installation()
    } catch {
      outcome = .failure(error)
    }
  }

  /// The waiting thread continues by freeing pages, which an old view would keep in use.
  func didMoveView() { change.result.fulfil(outcome) }
}

/// Ends the newest part before it is full. No thread waits for it.
struct PartEndJob: WriteJob, PreparedJob {
  let admission = Admission.partEnd
  var job: any WriteJob { self }

  func prepare(_ planning: inout WritePlanning) throws(WriteRefusal) -> any PreparedJob { self }
  func didAccept(_ context: WriterContext) { context.parts.begin(evenIfEmpty: false) }
  func didFail(_ error: StoreError) {}
}

extension Writer {
  /// Commits a change and then updates memory, and waits for both. Everything
  /// acknowledged before is on disk then as well.
  ///
  /// - Parameters:
  ///   - planning: For a change that adds history, which waits until there is room. Called again if a
  ///     transaction fails.
  ///   - installation: Called when the change is on disk.
  func commit(
    planning: ChangeJob.Planning? = nil, _ change: @escaping ChangeJob.Change,
    installing installation: @escaping ChangeJob.Installation = { () throws(StoreError) in }
  ) throws(StoreError) {
    let job = ChangeJob(planning: planning, change: change, installation: installation)
    write(job)
    try job.result.wait().get()
  }

  /// Waits until all jobs that wait now are done: all acknowledged sequences are on disk then.
  func waitForJobs() throws(StoreError) {
    try commit { (_, _) throws(LMDBError) in }
  }
}
