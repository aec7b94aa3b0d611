import LMDB

/// A sequence with its order number.
struct PlannedSequence: Sendable {
  let order: UInt64
  let committedSeconds: UInt64
  let id: String?
  let digest: UInt64
  let tokens: [Int32]

  init(_ tokens: [Int32], id: String?, digest: UInt64, _ planning: inout WritePlanning) {
    order = planning.takeOrder(id: id, digest: digest)
    committedSeconds = planning.seconds
    self.id = id
    self.digest = digest
    self.tokens = tokens
  }

  /// Its description in memory.
  var finished: FinishedSequence {
    FinishedSequence(order: order, tokens: tokens.count, committedSeconds: committedSeconds)
  }

  /// Adds it to the log.
  func write(_ transaction: borrowing WriteTransaction, _ file: CorpusFile) throws(LMDBError) {
    let record = SequenceRecord(committedSeconds: committedSeconds, id: id, tokens: tokens)
    try transaction.put(Key(order), record.encoded(order: order).rawSpan, in: file.log)
    if let id {
      let entry = IDRecord(order: order, digest: digest).encoded(id: id)
      try transaction.put(Key(id), entry.rawSpan, in: file.ids)
    }
  }
}

/// An insert of complete sequences.
final class InsertJob: WriteJob, @unchecked Sendable {
  // @unchecked Sendable: created by one thread, then used by the writer thread alone.
  private let sequences: [NewSequence]
  /// Held for as long as the sequences wait.
  private let reservation: MemoryBudget.Reservation
  /// nil once it was called. A job that is accepted may wait long to be written. It must not keep
  /// what waits for its answer in the meantime: a service that stops waits for exactly that.
  private var completion: (@Sendable (Result<InsertReceipt, StoreError>) -> Void)?
  private var receipt = InsertReceipt()
  private var planned: [PlannedSequence] = []

  let tokenCount: Int
  let (waitsForCompaction, waitsForRoom, mayBeUnsaved) = (true, true, true)

  init(
    _ sequences: [NewSequence], _ reservation: MemoryBudget.Reservation,
    _ completion: @escaping @Sendable (Result<InsertReceipt, StoreError>) -> Void
  ) {
    self.sequences = sequences
    self.reservation = reservation
    self.completion = completion
    tokenCount = sequences.reduce(0) { $0 + $1.tokens.count }
  }

  func prepare(_ planning: inout WritePlanning) throws(WriteRefusal) {
    receipt = InsertReceipt()
    planned = []
    // All ids are looked up before anything is changed, so that a conflict leaves no trace.
    var new: [(position: Int, digest: UInt64)] = []
    var digests: [String: UInt64] = [:]
    for (position, sequence) in sequences.enumerated() {
      if let bad = sequence.tokens.firstIndex(where: { $0 >= planning.tokenBound }) {
        throw .refused(
          .beyondVocabulary(
            token: sequence.tokens[bad], vocabulary: Int(planning.tokenBound), sequence: position,
            position: bad))
      }
      let digest = digest(sequence.tokens)
      if let id = sequence.id {
        var known = digests[id]
        if known == nil { known = try planning.digest(ofID: id) }
        if let known {
          if known != digest { throw .refused(.conflict(id: id)) }
          receipt.duplicates += 1
          continue
        }
        digests[id] = digest
      }
      new.append((position, digest))
      receipt.tokens += sequence.tokens.count
    }
    receipt.inserted = new.count
    try planning.takeRoom(HistorySize(tokens: receipt.tokens, sequences: new.count))
    planned = new.map { new in
      let sequence = sequences[new.position]
      return PlannedSequence(sequence.tokens, id: sequence.id, digest: new.digest, &planning)
    }
    receipt.lastOrder = planned.last?.order
  }

  func write(_ transaction: borrowing WriteTransaction, _ file: CorpusFile) throws(LMDBError) {
    for sequence in planned { try sequence.write(transaction, file) }
  }

  func didAccept(_ corpus: Corpus) {
    for sequence in planned { corpus.add(sequence) }
    answer(.success(receipt))
  }

  func didFail(_ error: StoreError, _ corpus: Corpus) { answer(.failure(error)) }

  private func answer(_ result: Result<InsertReceipt, StoreError>) {
    let completion = completion
    self.completion = nil
    completion?(result)
  }
}

/// The output of a session that closes.
final class RecordJob: WriteJob, @unchecked Sendable {
  // @unchecked Sendable: created by one thread, then used by the writer thread alone. Both are nil
  // once the job was answered, as in an insert.
  private var session: DecodingSession?
  private var completion: (@Sendable (Result<RecordReceipt, StoreError>) -> Void)?
  private let output: [Int32]
  /// nil for an output that is longer than all that the corpus keeps: it is removed at once.
  private var planned: PlannedSequence?

  var tokenCount: Int { output.count }
  let (waitsForCompaction, waitsForRoom, mayBeUnsaved) = (false, true, true)

  init(
    _ session: DecodingSession, _ output: [Int32],
    _ completion: @escaping @Sendable (Result<RecordReceipt, StoreError>) -> Void
  ) {
    self.session = session
    self.output = output
    self.completion = completion
  }

  func prepare(_ planning: inout WritePlanning) throws(WriteRefusal) {
    planned = nil
    do throws(WriteRefusal) {
      try planning.takeRoom(HistorySize(tokens: output.count, sequences: 1))
    } catch {
      if case .refused(.exceedsRetention) = error { return }
      throw error
    }
    planned = PlannedSequence(output, id: nil, digest: digest(output), &planning)
  }

  func write(_ transaction: borrowing WriteTransaction, _ file: CorpusFile) throws(LMDBError) {
    try planned?.write(transaction, file)
  }

  func didAccept(_ corpus: Corpus) {
    if let session { corpus.finish(session, planned, output: output) }
    var receipt = RecordReceipt(unrecorded: planned == nil ? .retention : nil)
    receipt.recordedTokens = planned?.tokens.count ?? 0
    receipt.order = planned?.order
    if planned == nil { corpus.activity.note { $0.outputsBeyondRetention += 1 } }
    answer(.success(receipt), ended: true)
  }

  func didFail(_ error: StoreError, _ corpus: Corpus) {
    // A session over a corpus that no longer exists has ended: it can never be recorded.
    if case .closed = error {
      answer(.failure(error), ended: true)
    } else {
      answer(.failure(error), ended: false)
    }
  }

  private func answer(_ result: Result<RecordReceipt, StoreError>, ended: Bool) {
    let (session, completion) = (session, completion)
    self.session = nil
    self.completion = nil
    session?.didClose(recorded: ended)
    completion?(result)
  }
}
