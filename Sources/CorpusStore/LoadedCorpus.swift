import LMDB
import SuffixIndex

/// What a corpus's file holds when it is opened.
struct LoadedCorpus {
  let parts: [GrowingPart]
  let view: SegmentView
  let nextOrder: UInt64
  let nextSegment: UInt64

  /// Finds the segments where they lie, and adds the log's sequences to growing indexes.
  ///
  /// - Complexity: O(chunks) for the segments; 0.3 µs for each token of the log, of which there are
  ///   at most a few times `sealTokens`.
  init(_ file: CorpusFile, _ options: StoreOptions) throws(StoreError) {
    let finished: [UInt64]
    do throws(LMDBError) {
      finished = try Self.segmentNumbers(file)
      nextSegment = try Self.removeUnfinishedSegments(file, finished: finished)
    } catch {
      throw file.error(error)
    }
    let transaction = try file.beginReading()
    do throws(LMDBError) {
      nextOrder = try file.readNumber("next_order", transaction)
    } catch {
      throw file.error(error)
    }
    var segments: [Segment] = []
    for number in finished { segments.append(try Self.segment(number, file, transaction)) }
    parts = try Self.loadLog(file, transaction, options)
    view = SegmentView(transaction, segments)
  }

  private static func segmentNumbers(_ file: CorpusFile) throws(LMDBError) -> [UInt64] {
    let transaction = try ReadTransaction(file.environment)
    var numbers: [UInt64] = []
    try transaction.forEach(in: file.segments) { key, _ in
      if let number = Key.number(key) { numbers.append(number) }
      return true
    }
    return numbers
  }

  /// Deletes the chunks of segments that were being written when the process ended: their record,
  /// which is written last, is missing. Returns a segment number that was never used.
  private static func removeUnfinishedSegments(
    _ file: CorpusFile, finished: [UInt64]
  ) throws(LMDBError) -> UInt64 {
    var next = (finished.last ?? 0) + 1
    var unfinished: [UInt64: Int] = [:]
    let reading = try ReadTransaction(file.environment)
    try reading.forEach(in: file.chunks) { key, _ in
      guard let number = Key.number(key) else { return true }
      next = max(next, number + 1)
      if !finished.contains(number) { unfinished[number, default: 0] += 1 }
      return true
    }
    if unfinished.isEmpty { return next }
    let transaction = try WriteTransaction(file.environment)
    for (number, chunks) in unfinished {
      // Chunks are written in order, so they are the first ones.
      for chunk in 0..<chunks {
        try transaction.delete(CorpusFile.chunkKey(segment: number, chunk: chunk), in: file.chunks)
      }
    }
    try transaction.commit()
    return next
  }

  static func segment(
    _ number: UInt64, _ file: CorpusFile, _ transaction: borrowing ReadTransaction
  ) throws(StoreError) -> Segment {
    var record: SegmentRecord?
    do throws(LMDBError) {
      if let bytes = try transaction.get(Key(number), in: file.segments) {
        record = SegmentRecord(bytes)
      }
    } catch {
      throw file.error(error)
    }
    guard let record else {
      throw .corrupt(what: "the record of segment \(number)", where: file.path)
    }
    return try Segment(number, record, in: file, transaction)
  }

  private static func loadLog(
    _ file: CorpusFile, _ transaction: borrowing ReadTransaction, _ options: StoreOptions
  ) throws(StoreError) -> [GrowingPart] {
    func newPart() -> GrowingPart {
      GrowingPart(depth: file.settings.depth, tokensExpected: options.sealTokens)
    }
    var parts = [newPart()]
    var damaged: UInt64?
    do throws(LMDBError) {
      try transaction.forEach(in: file.log) { key, value in
        guard let order = Key.number(key), let record = SequenceRecord(value) else {
          damaged = Key.number(key) ?? 0
          return false
        }
        if parts[parts.count - 1].finishedTokens >= options.sealTokens { parts.append(newPart()) }
        let part = parts[parts.count - 1]
        var tail = GrowingIndex.Tail()
        part.index.extend(&tail, by: record.tokens.span)
        part.finished.append(order)
        part.finishedTokens += record.tokens.count
        return true
      }
    } catch {
      throw file.error(error)
    }
    if let damaged { throw .corrupt(what: "sequence \(damaged) of the log", where: file.path) }
    return parts
  }
}
