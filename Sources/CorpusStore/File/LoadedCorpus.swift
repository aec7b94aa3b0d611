import LMDB
import RepriseModel
import SuffixIndex

/// The content of a corpus's file when it is opened: every byte that answers depend on was checked.
struct LoadedCorpus {
  let history: LiveHistory
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
    var repair = try Self.examine(file)
    if !file.isReadOnly {
      try repair.removeUnfinishedSegments()
      try repair.repair(options.memory)
      try LogSealing(file, options).run()
    } else if let damage = repair.found.first {
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
    history = LiveHistory(
      parts: parts, view: SegmentView(transaction, segments), mark: mark)
  }

  private static func examine(_ file: CorpusFile) throws(StoreError) -> Repair {
    let transaction = try file.beginReading()
    return try Repair(file, transaction)
  }

  private static func loadLog(
    _ file: CorpusFile, _ transaction: borrowing ReadTransaction, _ options: StoreOptions
  ) throws(StoreError) -> [GrowingPart] {
    let sealTokens = MergePolicy.sealTokens(options, file.settings.retention)
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
        let part = parts[parts.count - 1]
        var tail = GrowingIndex.Tail()
        part.index.extend(&tail, by: record.tokens.span)
        part.finish(
          FinishedSequence(
            order: order, tokens: record.tokens.count, committedSeconds: record.committedSeconds))
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

extension CorpusFile {
  /// Names of the places that repairs have set aside.
  func placesSetAside(
    _ transaction: borrowing ReadTransaction
  ) throws(StoreError) -> [String] {
    var places: [String] = []
    do throws(LMDBError) {
      try transaction.forEach(in: setAside) { key, _ in
        let kind = key.byteCount == 8 ? "segment" : "sequence"
        places.append("\(kind) \(Key.number(key) ?? 0)")
        return true
      }
    } catch {
      throw self.error(error)
    }
    return places
  }

  /// Segment numbers fit an `Int`, and are counted up from 1.
  static let segmentNumberMax: UInt64 = 1 << 48

  /// The numbers in the keys of a table, or at their beginning; each once.
  func numbers(
    _ table: Database, _ transaction: borrowing ReadTransaction
  ) throws(StoreError) -> [UInt64] {
    var numbers: [UInt64] = []
    do throws(LMDBError) {
      try transaction.forEach(in: table) { key, _ in
        if let number = Key.number(key), numbers.last != number { numbers.append(number) }
        return true
      }
    } catch {
      throw self.error(error)
    }
    return numbers
  }

  func segmentNumbers(
    _ transaction: borrowing ReadTransaction
  ) throws(StoreError) -> [UInt64] {
    try numbers(segments, transaction)
  }

  /// A segment number that was never used.
  func nextSegmentNumber(
    _ transaction: borrowing ReadTransaction
  ) throws(StoreError) -> UInt64 {
    var last: UInt64 = 0
    for table in [segments, setAside, chunks] {
      last = max(last, try numbers(table, transaction).last ?? 0)
    }
    return last + 1
  }

  /// The record of a segment, or nil if it is damaged.
  func segmentRecord(
    _ number: UInt64, in table: Database? = nil, _ transaction: borrowing ReadTransaction
  ) throws(StoreError) -> SegmentRecord? {
    do throws(LMDBError) {
      guard number > 0, number < Self.segmentNumberMax,
        let bytes = try transaction.get(Key(number), in: table ?? segments)
      else { return nil }
      return SegmentRecord(bytes, segment: number)
    } catch {
      throw self.error(error)
    }
  }

  func segment(
    _ number: UInt64, _ transaction: borrowing ReadTransaction, mark: DamageMark
  ) throws(StoreError) -> Segment {
    guard let record = try segmentRecord(number, transaction) else {
      throw .corrupt(what: "the record of segment \(number)", where: path)
    }
    return try Segment(number, record, in: self, transaction, mark: mark)
  }
}
