import LMDB

/// A change that compaction or an operator makes. Its closures run on the writer thread.
final class ChangeJob: WriteJob {
  typealias Planning = @Sendable (inout WritePlanning) throws(WriteRefusal) -> Void
  typealias Change =
    @Sendable (borrowing WriteTransaction, CorpusFile) throws(LMDBError) -> Void
  typealias Installation = @Sendable () throws(StoreError) -> Void

  private let planning: Planning?
  private let change: Change
  private let installation: Installation
  private let result = Awaited<Result<Void, StoreError>>()
  /// The outcome of the installation; used by the writer thread alone.
  private nonisolated(unsafe) var outcome = Result<Void, StoreError>.success(())

  let tokenCount = 0
  let waitsForCompaction = false
  var waitsForRoom: Bool { planning != nil }
  let mayBeUnsaved = false

  fileprivate init(
    _ planning: Planning?, _ change: @escaping Change, _ installation: @escaping Installation
  ) {
    self.planning = planning
    self.change = change
    self.installation = installation
  }

  func prepare(_ planning: inout WritePlanning) throws(WriteRefusal) {
    if let prepare = self.planning { try prepare(&planning) }
  }

  func write(_ transaction: borrowing WriteTransaction, _ file: CorpusFile) throws(LMDBError) {
    try change(transaction, file)
  }

  func didAccept(_ corpus: Corpus) {
    do throws(StoreError) {
      try installation()
    } catch {
      unsafe outcome = .failure(error)
    }
  }

  /// The waiting thread continues by freeing pages, which an old view would keep in use.
  func didMoveView() { unsafe result.set(outcome) }

  func didFail(_ error: StoreError, _ corpus: Corpus) { result.set(.failure(error)) }

  fileprivate func wait() throws(StoreError) { try result.wait().get() }
}

/// Ends the newest part before it is full. No thread waits for it.
final class PartEndJob: WriteJob {
  let tokenCount = 0
  let (waitsForCompaction, waitsForRoom, mayBeUnsaved) = (false, false, true)

  func prepare(_ planning: inout WritePlanning) throws(WriteRefusal) {}
  func write(_ transaction: borrowing WriteTransaction, _ file: CorpusFile) throws(LMDBError) {}
  func didAccept(_ corpus: Corpus) { corpus.beginPart(evenIfEmpty: false) }
  func didFail(_ error: StoreError, _ corpus: Corpus) {}
}

extension Corpus {
  /// Has the writer commit a change and then update memory, and waits for both. Everything
  /// acknowledged before is on disk then as well.
  ///
  /// - Parameter installation: Called when the change is on disk.
  func commit(
    _ change: @escaping ChangeJob.Change = { (_, _) throws(LMDBError) in },
    installing installation: @escaping ChangeJob.Installation = { () throws(StoreError) in }
  ) throws(StoreError) {
    try commit(planning: nil, change, installing: installation)
  }

  /// - Parameter planning: For a change that adds history, which waits until there is room.
  func commit(
    planning: ChangeJob.Planning?, _ change: @escaping ChangeJob.Change,
    installing installation: @escaping ChangeJob.Installation
  ) throws(StoreError) {
    let job = ChangeJob(planning, change, installation)
    write(job)
    try job.wait()
  }
}
