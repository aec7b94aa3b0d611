/// The record in `ids` under a caller's id.
///
///     0   u64  order number of the sequence
///     8   u64  XXH3 of the tokens of its output
///     16  u64  XXH3 of all before, with the id's own XXH3 as seed
package struct IDRecord: Equatable {
  package var order: UInt64
  package var digest: UInt64

  package init(order: UInt64, digest: UInt64) {
    self.order = order
    self.digest = digest
  }

  package func encoded(id: String) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.append(order)
    bytes.append(digest)
    bytes.appendChecksum(seed: checksumSeed(id))
    return bytes
  }

  /// Returns nil if the bytes are damaged, or belong to another id.
  package init?(_ bytes: RawSpan, id: RawSpan) {
    guard bytes.byteCount == 24,
      var reader = RecordReader(checked: bytes, seed: checksum(id)),
      let order = reader.read(UInt64.self), let digest = reader.read(UInt64.self)
    else { return nil }
    self.init(order: order, digest: digest)
  }
}
