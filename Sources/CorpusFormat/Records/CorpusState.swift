/// The record `state` of table `meta`, which every transaction writes.
package struct CorpusState: Equatable {
  /// The transaction that wrote the state. LMDB's own pages carry no checksum; a state written by
  /// another transaction than the newest reveals that the newest was lost.
  var transaction: Int
  /// The order number that the next sequence gets.
  package var nextOrder: UInt64
}

extension CorpusState {
  private static let seed = checksumSeed("state")

  /// u64 transaction, u64 next order number, XXH3.
  func encoded() -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.append(UInt64(transaction))
    bytes.append(nextOrder)
    bytes.appendChecksum(seed: Self.seed)
    return bytes
  }

  init?(encoded bytes: RawSpan) {
    guard bytes.byteCount == 24, var reader = RecordReader(checked: bytes, seed: Self.seed),
      let transaction = reader.read(UInt64.self), transaction < UInt64(Int.max),
      let nextOrder = reader.read(UInt64.self)
    else { return nil }
    self.init(transaction: Int(transaction), nextOrder: nextOrder)
  }
}
