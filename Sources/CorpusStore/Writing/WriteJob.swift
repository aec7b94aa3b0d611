import LMDB

/// A unit of work for the writer. Jobs that wait together are committed together.
///
/// A job is prepared, written and accepted, in this order, each on the corpus's writer thread. With
/// durability `commit` it is accepted when its transaction is on disk, with `interval` as soon as
/// it is prepared, and written later. After a transaction that failed, `write` may be called again,
/// and `prepare` too if the job was not accepted.
protocol WriteJob: AnyObject, Sendable {
  /// Tokens that the job keeps in memory while it waits.
  var tokenCount: Int { get }
  /// True if the job is held back until compaction has caught up. Jobs of compaction itself must
  /// not be, nor those that end a session: the part to be sealed may be waiting for them.
  var waitsForCompaction: Bool { get }
  /// True if the job is held back while the oldest sequences leave to make room. This applies to
  /// all jobs that add history, in the order in which they came.
  var waitsForRoom: Bool { get }
  /// True if the job may be accepted before it is on disk, if the corpus's durability allows it.
  var mayBeUnsaved: Bool { get }

  /// Decides what the job will write, and changes nothing.
  func prepare(_ planning: inout WritePlanning) throws(WriteRefusal)

  /// Makes the changes that were prepared.
  func write(
    _ transaction: borrowing WriteTransaction, _ file: CorpusFile
  ) throws(LMDBError)

  /// Updates memory and answers.
  func didAccept(_ corpus: Corpus)

  /// Called after `didAccept`, when the corpus's view includes what was written.
  func didMoveView()

  /// Answers with an error; nothing was changed.
  func didFail(_ error: StoreError, _ corpus: Corpus)
}

extension WriteJob {
  func didMoveView() {}
}

enum WriteRefusal: Error {
  case refused(StoreError)
  /// The oldest sequences have to leave before there is room for this amount.
  case needsRoom(HistorySize)
}
