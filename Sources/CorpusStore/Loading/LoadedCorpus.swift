import Concurrency
import CorpusFormat
import HistoryEngine
import LMDB
import RepriseModel
import StoreErrors
import SuffixIndex

/// The content of a corpus's file when it is opened: every byte that answers depend on was checked.
struct LoadedCorpus {
  let live: LiveHistory
  /// The segments of the history, and the transaction that reads them.
  let view: SegmentView
  let nextOrder: UInt64
  let nextSegment: UInt64
  /// The damage that was found, and its consequences: one sentence each.
  let damage: [String]

  /// Finds the segments in the map, and adds the log's sequences to growing indexes. If this
  /// process may write, damage is repaired first, and the part of the log that does not fit into
  /// memory is sealed.
  ///
  /// - Throws: `corrupt` for damage that cannot be repaired; `cancelled` when the file's
  ///   cancellation is.
  /// - Complexity: Reads all segments, at several GB a second where they are in memory; 0.3 µs for
  ///   each token of the log, of which there are at most a few times `sealTokens`.
  init(_ file: CorpusFile, _ options: StoreOptions) throws(StoreError) {
    let found = try Self.examine(file)
    var repair = Repair(of: found)
    if !file.isReadOnly {
      try repair.removeUnfinishedSegments()
      try repair.repair(options.memory)
      try LogSealing(file, options).run()
    } else if let damage = found.found.first {
      throw .corrupt(what: damage, where: file.path)
    }
    let transaction = try file.beginReading()
    let mark = DamageMark()
    var segments: [Segment] = []
    for number in try file.segmentNumbers(transaction) {
      segments.append(try file.segment(number, transaction, mark: mark))
    }
    let state = try file.state(transaction, isCopy: file.isReadOnly)
    let parts = try Self.loadLog(file, transaction, options)
    let orders =
      segments.map(\.record.orders.upperBound) + parts.flatMap(\.finished).map(\.order)
    if let last = orders.max(), last >= state.nextOrder {
      throw .corrupt(
        what: "the next order number, \(state.nextOrder) where \(last) is taken,", where: file.path)
    }
    nextOrder = state.nextOrder
    nextSegment = try file.nextSegmentNumber(transaction)
    damage =
      try repair.outcome
      + file.placesSetAside(transaction).map { "\($0) was found damaged, and is set aside" }
    view = SegmentView(transaction, segments, of: file)
    live = LiveHistory(parts: parts, source: view, mark: mark)
  }

  private static func examine(_ file: CorpusFile) throws(StoreError) -> DamageSearch {
    let transaction = try file.beginReading()
    return try DamageSearch(file, transaction)
  }

  private static func loadLog(
    _ file: CorpusFile, _ transaction: borrowing ReadTransaction, _ options: StoreOptions
  ) throws(StoreError) -> [GrowingPart] {
    let sealTokens = PartBounds(options, file.settings.retention).tokens
    func newPart() -> GrowingPart {
      GrowingPart(depth: file.settings.depth, tokensExpected: sealTokens)
    }
    var parts = [newPart()]
    var damaged: UInt64?
    do throws(LMDBError) {
      try transaction.forEach(in: file.log) { key, value in
        if file.cancellation.isCancelled { return false }
        guard let order = Key.number(key), let record = SequenceRecord(value, order: order) else {
          damaged = Key.number(key) ?? 0
          return false
        }
        if parts[parts.count - 1].finishedSize.tokens >= sealTokens { parts.append(newPart()) }
        parts[parts.count - 1].add(
          record.tokens.span,
          as: FinishedSequence(
            order: order, tokens: record.tokens.count, leadInTokens: record.leadInTokens,
            committedSeconds: record.committedSeconds))
        return true
      }
    } catch {
      throw file.error(error)
    }
    try file.cancellation.check()
    if let damaged { throw .corrupt(what: "sequence \(damaged) of the log", where: file.path) }
    return parts
  }
}

extension SegmentView: SegmentSource {
  package var historySegments: [HistorySegment] {
    segments.map {
      HistorySegment(number: $0.number, size: $0.size, orders: $0.record.orders, index: $0.index)
    }
  }

  package var place: String { file.path }
}
