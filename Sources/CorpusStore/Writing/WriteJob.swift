import CorpusFormat
import LMDB
import RepriseModel
import StoreErrors

/// A unit of work for the writer. Jobs that wait together are committed together.
///
/// A job is prepared, written and accepted, in this order, each on the corpus's writer thread. With
/// durability `commit` it is accepted when its transaction is on disk, with `interval` as soon as
/// it is prepared, and its sequences are written later. After a transaction that failed, a job that
/// was not accepted may be prepared again.
protocol WriteJob: Sendable {
  /// The conditions under which the job begins.
  var admission: Admission { get }

  /// Decides what the job will write, and changes nothing.
  func prepare(_ planning: inout WritePlanning) throws(WriteRefusal) -> any PreparedJob

  /// Answers with an error; nothing was changed.
  func didFail(_ error: StoreError)
}

/// A job that has its place in the history. Used on the writer thread alone.
protocol PreparedJob {
  var job: any WriteJob { get }

  /// The sequences that are added to the log.
  var addition: LogAddition { get }

  /// Makes the changes that were prepared.
  func write(_ transaction: borrowing WriteTransaction, _ file: CorpusFile) throws(LMDBError)

  /// Updates memory and answers.
  mutating func didAccept(_ context: WriterContext)

  /// Called after `didAccept`, when the view of the history includes what was written.
  func didMoveView()
}

extension PreparedJob {
  var addition: LogAddition { LogAddition() }

  func write(_ transaction: borrowing WriteTransaction, _ file: CorpusFile) throws(LMDBError) {
    try addition.write(transaction, file)
  }

  func didMoveView() {}
}

/// The conditions that a job waits for before it is prepared, and whether it must be on disk at once.
enum Admission: Sendable {
  /// Sequences that arrive whole. They wait until compaction has caught up, and until there is room.
  case insert(tokens: Int)
  /// The output of a session that closes. It waits for room, but not for compaction: the part that is
  /// to be sealed may be waiting for the session's end.
  case record
  /// Another corpus's history. It waits for room, and is written at once.
  case adoption
  /// A change by compaction or an operator. It waits for nothing, and is written at once.
  case change
  /// The end of a part, which is nothing to write.
  case partEnd

  /// True for jobs that are held back until compaction has caught up.
  var waitsForCompaction: Bool {
    if case .insert = self { true } else { false }
  }

  /// True for all jobs that add history: they are held back while the oldest sequences leave to make
  /// room, and go on in the order in which they came.
  var waitsForRoom: Bool {
    switch self {
    case .insert, .record, .adoption: true
    case .change, .partEnd: false
    }
  }

  /// True for jobs that may be accepted before they are on disk, where the corpus's durability allows
  /// it.
  var mayBeUnsaved: Bool {
    switch self {
    case .insert, .record, .partEnd: true
    case .adoption, .change: false
    }
  }

  /// The number of tokens that count against the bound of what may wait for compaction.
  var tokensWaiting: Int {
    if case .insert(let tokens) = self { tokens } else { 0 }
  }
}

enum WriteRefusal: Error {
  case refused(StoreError)
  /// The oldest sequences have to leave before there is room for this amount.
  case needsRoom(HistorySize)
}
