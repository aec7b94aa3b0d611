import LMDB

extension Corpus {
  /// Calls `body` with every finished sequence, in the order of their numbers, until it returns
  /// false.
  ///
  /// - Complexity: Holds all tokens in memory for the duration of the call.
  public func forEachSequence(
    _ body: (_ order: UInt64, _ id: String?, _ tokens: [Int32]) throws -> Bool
  ) throws {
    for sequence in try sequences().sorted(by: { $0.entry.order < $1.entry.order }) {
      if try !body(sequence.entry.order, sequence.entry.id, sequence.tokens) { return }
    }
  }

  private func sequences() throws(StoreError) -> [(entry: SequenceTable.Entry, tokens: [Int32])] {
    // All acknowledged sequences are then in the file, and no segment of the view is about to be
    // dropped.
    if !isReadOnly { try waitForWriter() }
    guard let view = view else { throw .closed(corpus: name) }
    var sequences: [(entry: SequenceTable.Entry, tokens: [Int32])] = []
    for segment in view.segments {
      try forEachSequence(of: segment, in: view) { entry, tokens in
        sequences.append((entry, tokens.indices.map { tokens[$0] }))
      }
    }
    do throws(LMDBError) {
      try view.transaction.forEach(in: file.log) { key, value in
        if cancellation.isCancelled { return false }
        if let order = Key.number(key), let record = SequenceRecord(value, order: order) {
          sequences.append((record.entry(order: order), record.tokens))
        }
        return true
      }
    } catch {
      throw file.error(error)
    }
    try cancellation.check()
    return sequences
  }
}
