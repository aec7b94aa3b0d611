import Concurrency
import CorpusFormat
import HistoryEngine
import LMDB
import RepriseModel
import StoreErrors

/// Turns sequences of the log into segments while a corpus is opened, if growing indexes of all of
/// them do not fit into memory: those take `GrowingPart.bytesPerToken`, a segment none once it is
/// written.
struct LogSealing {
  private let file: CorpusFile
  private let options: StoreOptions
  private let sealTokens: Int

  init(_ file: CorpusFile, _ options: StoreOptions) {
    self.file = file
    self.options = options
    sealTokens = PartBounds(options, file.settings.retention).tokens
  }

  /// Seals the oldest sequences, one part at a time, until the rest fits.
  func run() throws(StoreError) {
    var left = try logged()[...]
    var tokens = left.reduce(0) { $0 + $1.tokens }
    while tokens > 0, !options.memory.fits(tokens * GrowingPart.bytesPerToken, for: .sessions) {
      var part: [UInt64] = []
      var partTokens = 0
      while partTokens < sealTokens, let next = left.popFirst() {
        part.append(next.order)
        partTokens += next.tokens
      }
      try seal(part, tokens: partTokens)
      tokens -= partTokens
    }
  }

  private func logged() throws(StoreError) -> [(order: UInt64, tokens: Int)] {
    let transaction = try file.beginReading()
    var sequences: [(order: UInt64, tokens: Int)] = []
    do throws(LMDBError) {
      try transaction.forEach(in: file.log) { key, value in
        if let order = Key.number(key), let record = SequenceRecord(value, order: order) {
          sequences.append((order, record.tokens.count))
        }
        return true
      }
    } catch {
      throw file.error(error)
    }
    return sequences
  }

  private func seal(_ orders: [UInt64], tokens: Int) throws(StoreError) {
    let transaction = try file.beginReading()
    var segments = try UnservedSegments(file)
    var pieces = SegmentPieces(
      depth: file.settings.depth, options.memory,
      expected: HistorySize(tokens: tokens, sequences: orders.count),
      isCancelled: { [cancellation = file.cancellation] in cancellation.isCancelled })
    for order in orders {
      try file.cancellation.check()
      let record = try file.loggedSequence(order, transaction)
      if let full = try pieces.append(record.tokens.span, record.entry(order: order)) {
        try segments.add(full.content)
      }
    }
    if let last = try pieces.finish() { try segments.add(last.content) }
    _ = consume transaction
    try segments.finish { (transaction) throws(LMDBError) in
      for order in orders { try transaction.delete(Key(order), in: file.log) }
    }
  }
}
