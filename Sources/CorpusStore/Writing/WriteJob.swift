import LMDB

/// Something to be written. Jobs that wait together are committed together.
///
/// A job is prepared, written and accepted, in this order, each on the corpus's writer thread. With
/// durability `commit` it is accepted when its transaction is on disk, with `interval` as soon as it
/// is prepared; it is written later then. After a transaction that failed, `write` may be called
/// again, and `prepare` too where the job was not accepted.
protocol WriteJob: AnyObject, Sendable {
  /// Tokens that the job keeps in memory while it waits.
  var tokenCount: Int { get }
  /// Whether the job is held back until compaction has caught up. What compaction itself writes may
  /// not be, nor what ends a session: the part that is to be sealed may be waiting for it.
  var waitsForCompaction: Bool { get }
  /// Whether the job is held back while the oldest sequences leave to make room: all that adds
  /// history is, in the order in which it came.
  var waitsForRoom: Bool { get }
  /// Whether the job may be accepted before it is on disk, where the corpus's durability allows it.
  var mayBeUnsaved: Bool { get }

  /// Decides what the job is to write, and changes nothing.
  func prepare(_ planning: inout WritePlanning) throws(WriteRefusal)

  /// Makes the changes that were prepared.
  func write(
    _ transaction: borrowing WriteTransaction, _ file: CorpusFile
  ) throws(LMDBError)

  /// Brings memory up to date and answers.
  func didAccept(_ corpus: Corpus)

  /// Is called when the corpus's view has moved on to what was written, after `didAccept`.
  func didMoveView()

  /// Answers that nothing was changed.
  func didFail(_ error: StoreError, _ corpus: Corpus)
}

extension WriteJob {
  func didMoveView() {}
}

enum WriteRefusal: Error {
  case refused(StoreError)
  /// The oldest sequences have to leave before there is room for so much.
  case needsRoom(HistorySize)
}
