import CorpusFormat
import HistoryEngine
import LMDB
import RepriseModel
import StoreErrors

/// The tokens of a sequence: its lead-in, then its output.
struct SequenceText: Sendable {
  let tokens: [Int32]
  let leadInTokens: Int
  let outputDigest: UInt64

  init(_ tokens: [Int32], leadInTokens: Int) {
    self.tokens = tokens
    self.leadInTokens = leadInTokens
    outputDigest = tokens.span.outputDigest(after: leadInTokens)
  }

  /// - Parameters:
  ///   - leadIn: The most tokens of the prompt that stand before the output.
  ///   - bound: All of them are below it.
  ///   - endIDs: The output ends with the first of them.
  init(_ sequence: NewSequence, leadIn: Int, below bound: Int32, endIDs: EndIDs) {
    let count = LeadIn.count(atEndOf: sequence.prompt.span, max: leadIn, below: bound)
    var text = count == 0 ? sequence.tokens : sequence.prompt.suffix(count) + sequence.tokens
    if let end = endIDs.end(of: sequence.tokens.span) {
      text.removeLast(sequence.tokens.count - end)
    }
    self.init(text, leadInTokens: count)
  }

  var size: HistorySize {
    HistorySize(tokens: tokens.count, leadInTokens: leadInTokens, sequences: 1)
  }
}

/// A sequence with its order number.
struct PlannedSequence: Sendable {
  let order: UInt64
  let committedSeconds: UInt64
  let id: String?
  let group: String?
  let text: SequenceText

  init(_ text: SequenceText, id: String?, group: String?, _ planning: inout WritePlanning) {
    order = planning.takeOrder(id: id, digest: text.outputDigest)
    committedSeconds = planning.seconds
    self.id = id
    self.group = group
    self.text = text
  }

  /// Its description in memory.
  var finished: FinishedSequence {
    FinishedSequence(
      order: order, tokens: text.tokens.count, leadInTokens: text.leadInTokens,
      committedSeconds: committedSeconds)
  }

  /// Adds it to the log.
  func write(_ transaction: borrowing WriteTransaction, _ file: CorpusFile) throws(LMDBError) {
    let record = SequenceRecord(
      committedSeconds: committedSeconds, id: id, tokens: text.tokens,
      leadInTokens: text.leadInTokens)
    try transaction.put(Key(order), record.encoded(order: order).rawSpan, in: file.log)
    if let id {
      let entry = IDRecord(order: order, digest: text.outputDigest).encoded(id: id)
      try transaction.put(Key(id), entry.rawSpan, in: file.ids)
    }
    if let group { try GroupTables(of: file).add(order, text.tokens, to: group, transaction) }
  }
}

/// Sequences that are added to the log.
struct LogAddition {
  var sequences: [PlannedSequence] = []
  /// Kept until the sequences are written.
  var reservation: MemoryBudget.Reservation?

  func write(_ transaction: borrowing WriteTransaction, _ file: CorpusFile) throws(LMDBError) {
    for sequence in sequences { try sequence.write(transaction, file) }
  }
}

extension NewSequence {
  /// The memory that it takes while it waits to be written.
  var bytes: Int {
    128 + (prompt.count + tokens.count) * MemoryLayout<Int32>.stride
      + (id?.utf8.count ?? 0) + (group?.utf8.count ?? 0)
  }
}

/// An insert of complete sequences.
struct InsertJob: WriteJob {
  private let sequences: [NewSequence]
  /// Held for as long as the sequences wait.
  private let reservation: MemoryBudget.Reservation
  fileprivate let completion: @Sendable (Result<InsertReceipt, StoreError>) -> Void
  let admission: Admission

  init(
    _ sequences: [NewSequence], _ reservation: MemoryBudget.Reservation,
    _ completion: @escaping @Sendable (Result<InsertReceipt, StoreError>) -> Void
  ) {
    self.sequences = sequences
    self.reservation = reservation
    self.completion = completion
    admission = .insert(tokens: sequences.reduce(0) { $0 + $1.tokens.count })
  }

  func prepare(_ planning: inout WritePlanning) throws(WriteRefusal) -> any PreparedJob {
    var receipt = InsertReceipt()
    // All ids are looked up before anything is changed, so that a conflict leaves no trace.
    var new: [(sequence: NewSequence, text: SequenceText)] = []
    var size = HistorySize()
    var digests: [String: UInt64] = [:]
    for (position, sequence) in sequences.enumerated() {
      if let bad = sequence.tokens.firstIndex(where: { $0 >= planning.tokenBound }) {
        throw .refused(
          .beyondVocabulary(
            token: sequence.tokens[bad], vocabulary: Int(planning.tokenBound), sequence: position,
            position: bad))
      }
      let text = SequenceText(
        sequence, leadIn: planning.leadIn, below: planning.tokenBound, endIDs: planning.endIDs)
      if let id = sequence.id {
        var known = digests[id]
        if known == nil { known = try planning.digest(ofID: id) }
        if let known {
          if known != text.outputDigest { throw .refused(.conflict(id: id)) }
          receipt.duplicates += 1
          continue
        }
        digests[id] = text.outputDigest
      }
      new.append((sequence, text))
      size += text.size
    }
    receipt.inserted = size.sequences
    receipt.tokens = size.tokens - size.leadInTokens
    try planning.takeRoom(size)
    let planned = new.map {
      PlannedSequence($0.text, id: $0.sequence.id, group: $0.sequence.group, &planning)
    }
    receipt.lastOrder = planned.last?.order
    return PreparedInsert(
      insert: self, addition: LogAddition(sequences: planned, reservation: reservation),
      receipt: receipt)
  }

  func didFail(_ error: StoreError) { completion(.failure(error)) }
}

private struct PreparedInsert: PreparedJob {
  let insert: InsertJob
  let addition: LogAddition
  let receipt: InsertReceipt

  var job: any WriteJob { insert }

  func didAccept(_ context: WriterContext) {
    for sequence in addition.sequences {
      context.stored.history.add(sequence.text.tokens, as: sequence.finished)
    }
    insert.completion(.success(receipt))
  }
}

/// The output of a session that closes.
struct RecordJob: WriteJob {
  fileprivate let session: DecodingSession
  /// The session's lead-in and output.
  fileprivate let text: SequenceText
  private let completion: @Sendable (Result<RecordReceipt, StoreError>) -> Void
  let admission = Admission.record

  init(
    _ session: DecodingSession, _ text: [Int32],
    _ completion: @escaping @Sendable (Result<RecordReceipt, StoreError>) -> Void
  ) {
    self.session = session
    self.text = SequenceText(text, leadInTokens: session.leadInTokens)
    self.completion = completion
  }

  func prepare(_ planning: inout WritePlanning) throws(WriteRefusal) -> any PreparedJob {
    do throws(WriteRefusal) {
      try planning.takeRoom(text.size)
    } catch {
      // An output that is longer than all that the corpus keeps is removed at once.
      if case .refused(.exceedsRetention) = error {
        return PreparedRecord(record: self, planned: nil)
      }
      throw error
    }
    let planned = PlannedSequence(text, id: nil, group: session.group, &planning)
    return PreparedRecord(record: self, planned: planned)
  }

  func didFail(_ error: StoreError) {
    // A session over a corpus that no longer exists has ended: it can never be recorded.
    if case .closed = error {
      answer(.failure(error), ended: true)
    } else {
      answer(.failure(error), ended: false)
    }
  }

  fileprivate func answer(_ result: Result<RecordReceipt, StoreError>, ended: Bool) {
    session.didClose(recorded: ended)
    completion(result)
  }
}

private struct PreparedRecord: PreparedJob {
  let record: RecordJob
  /// nil for an output that is not kept.
  let planned: PlannedSequence?

  var job: any WriteJob { record }
  var addition: LogAddition { LogAddition(sequences: planned.map { [$0] } ?? []) }

  func didAccept(_ context: WriterContext) {
    record.session.history.finish(
      record.session, as: planned?.finished, record.text.tokens)
    let outputTokens = record.text.tokens.count - record.text.leadInTokens
    let receipt = RecordReceipt(
      recordedTokens: planned == nil ? 0 : outputTokens, order: planned?.order,
      unrecordedReason: planned == nil ? .retention : nil)
    if planned == nil { context.activity.note { $0.outputsBeyondRetention += 1 } }
    record.answer(.success(receipt), ended: true)
  }
}
