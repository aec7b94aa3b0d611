import Drafting
import LMDB
import SuffixIndex

/// Something to be written. Jobs that wait together are committed together.
///
/// All three calls come from the corpus's writer thread.
protocol WriteJob: AnyObject, Sendable {
  /// Tokens that the job keeps in memory while it waits.
  var tokenCount: Int { get }
  /// Whether the job may be held back until compaction has caught up. What compaction itself writes
  /// may not, nor what ends a session: the part that is to be sealed may be waiting for it.
  var canBeHeldBack: Bool { get }

  /// Makes the job's changes. An error of the job's own (a conflict) must be thrown before the
  /// first change; after another error the whole transaction is given up and the job may be
  /// called again in the next.
  func write(
    _ transaction: borrowing WriteTransaction, _ file: CorpusFile, _ orders: inout OrderCounter
  ) throws(WriteFailure)

  /// The changes are on disk.
  func didCommit(_ corpus: Corpus)
  /// Nothing was changed.
  func didFail(_ error: StoreError, _ corpus: Corpus)
}

enum WriteFailure: Error {
  case refused(StoreError)
  case storage(LMDBError)
}

/// Hands out order numbers. Numbers given out in a transaction that fails are taken back.
struct OrderCounter {
  private(set) var next: UInt64

  mutating func take() -> UInt64 {
    next += 1
    return next - 1
  }
}

extension CorpusFile {
  /// Adds a finished sequence to the log.
  fileprivate func log(
    _ tokens: [Int32], id: String?, _ transaction: borrowing WriteTransaction,
    _ orders: inout OrderCounter
  ) throws(WriteFailure) -> UInt64 {
    let order = orders.take()
    let record = SequenceRecord(committedSeconds: secondsNow(), id: id ?? "", tokens: tokens)
    do throws(LMDBError) {
      try transaction.put(Key(order), record.encoded().rawSpan, in: log)
      if let id {
        var entry: [UInt8] = []
        entry.append(order)
        entry.append(CorpusStore.digest(tokens))
        try transaction.put(Key(id), entry.rawSpan, in: ids)
      }
      var next: [UInt8] = []
      next.append(orders.next)
      try transaction.put(Key("next_order"), next.rawSpan, in: meta)
    } catch {
      throw .storage(error)
    }
    return order
  }

  /// The digest of the tokens that an id stands for, or nil.
  fileprivate func digest(ofID id: String, _ transaction: borrowing WriteTransaction)
    throws(WriteFailure) -> UInt64?
  {
    do throws(LMDBError) {
      guard let entry = try transaction.get(Key(id), in: ids) else { return nil }
      var reader = RecordReader(entry)
      _ = reader.read(UInt64.self)
      return reader.read(UInt64.self) ?? 0
    } catch {
      throw .storage(error)
    }
  }
}

/// Sequences that arrive whole.
final class InsertJob: WriteJob, @unchecked Sendable {
  // @unchecked Sendable: made by one thread, then used by the writer thread alone.
  private let sequences: [NewSequence]
  private let completion: @Sendable (Result<InsertReceipt, StoreError>) -> Void
  private var receipt = InsertReceipt()
  private var added: [(order: UInt64, sequence: Int)] = []

  let tokenCount: Int
  let canBeHeldBack = true

  init(
    _ sequences: [NewSequence],
    _ completion: @escaping @Sendable (Result<InsertReceipt, StoreError>) -> Void
  ) {
    self.sequences = sequences
    self.completion = completion
    tokenCount = sequences.reduce(0) { $0 + $1.tokens.count }
  }

  func write(
    _ transaction: borrowing WriteTransaction, _ file: CorpusFile, _ orders: inout OrderCounter
  ) throws(WriteFailure) {
    receipt = InsertReceipt()
    added = []
    // All ids are looked up before anything is written, so that a conflict leaves no trace.
    var new: [Int] = []
    var digests: [String: UInt64] = [:]
    for (position, sequence) in sequences.enumerated() {
      guard let id = sequence.id else {
        new.append(position)
        continue
      }
      let digest = CorpusStore.digest(sequence.tokens)
      var known = digests[id]
      if known == nil { known = try file.digest(ofID: id, transaction) }
      if let known {
        if known != digest { throw .refused(.conflict(id: id)) }
        receipt.duplicates += 1
      } else {
        digests[id] = digest
        new.append(position)
      }
    }
    for position in new {
      let sequence = sequences[position]
      let order = try file.log(sequence.tokens, id: sequence.id, transaction, &orders)
      added.append((order, position))
      receipt.inserted += 1
      receipt.tokens += sequence.tokens.count
      receipt.lastOrder = order
    }
  }

  func didCommit(_ corpus: Corpus) {
    for (order, position) in added { corpus.add(sequences[position].tokens, order: order) }
    completion(.success(receipt))
  }

  func didFail(_ error: StoreError, _ corpus: Corpus) { completion(.failure(error)) }
}

/// The output of a session that closes.
final class RecordJob: WriteJob, @unchecked Sendable {
  // @unchecked Sendable: made by one thread, then used by the writer thread alone.
  private let session: DecodingSession
  private let output: [Int32]
  private let completion: @Sendable (Result<RecordReceipt, StoreError>) -> Void
  private var order: UInt64 = 0

  var tokenCount: Int { output.count }
  let canBeHeldBack = false

  init(
    _ session: DecodingSession, _ output: [Int32],
    _ completion: @escaping @Sendable (Result<RecordReceipt, StoreError>) -> Void
  ) {
    self.session = session
    self.output = output
    self.completion = completion
  }

  func write(
    _ transaction: borrowing WriteTransaction, _ file: CorpusFile, _ orders: inout OrderCounter
  ) throws(WriteFailure) {
    order = try file.log(output, id: nil, transaction, &orders)
  }

  func didCommit(_ corpus: Corpus) {
    corpus.addOutput(of: session, output, order: order)
    session.didClose(recorded: true)
    var receipt = RecordReceipt()
    receipt.recordedTokens = output.count
    receipt.order = order
    completion(.success(receipt))
  }

  func didFail(_ error: StoreError, _ corpus: Corpus) {
    session.didClose(recorded: false)
    completion(.failure(error))
  }
}

/// A change that compaction makes. The closures run on the writer thread.
final class CompactionJob: WriteJob {
  private let change: @Sendable (borrowing WriteTransaction, CorpusFile) throws(LMDBError) -> Void
  private let committed: @Sendable () -> Void
  private let completion: @Sendable (StoreError?) -> Void

  let tokenCount = 0
  let canBeHeldBack = false

  init(
    _ change:
      @escaping @Sendable (borrowing WriteTransaction, CorpusFile) throws(LMDBError) -> Void,
    committed: @escaping @Sendable () -> Void = {},
    completion: @escaping @Sendable (StoreError?) -> Void
  ) {
    self.change = change
    self.committed = committed
    self.completion = completion
  }

  func write(
    _ transaction: borrowing WriteTransaction, _ file: CorpusFile, _ orders: inout OrderCounter
  ) throws(WriteFailure) {
    do throws(LMDBError) { try change(transaction, file) } catch { throw .storage(error) }
  }

  func didCommit(_ corpus: Corpus) {
    committed()
    completion(nil)
  }

  func didFail(_ error: StoreError, _ corpus: Corpus) { completion(error) }
}
