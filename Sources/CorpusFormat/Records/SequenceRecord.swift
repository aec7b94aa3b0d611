import RepriseModel

/// The record of a finished sequence in the log, until the sequence is sealed.
///
///     0   u64  when it was committed, seconds since 1970
///     8   u16  bytes of the id; 0 for none
///     10  u16  tokens of the lead-in, with which the tokens begin
///     12  u32  tokens
///     16  id, UTF-8
///     …   i32  tokens
///     …   u64  XXH3 of all before, with the order number as seed
package struct SequenceRecord: Equatable {
  package var committedSeconds: UInt64
  /// nil if the caller gave no id.
  package var id: String?
  /// The lead-in and the output.
  package var tokens: [Int32]
  package var leadInTokens: Int

  package func encoded(order: UInt64) -> [UInt8] {
    var bytes: [UInt8] = []
    let id = id ?? ""
    bytes.reserveCapacity(24 + id.utf8.count + tokens.count * 4)
    bytes.append(committedSeconds)
    bytes.append(UInt16(id.utf8.count))
    bytes.append(UInt16(leadInTokens))
    bytes.append(UInt32(tokens.count))
    bytes.append(contentsOf: id.utf8)
    for token in tokens { bytes.append(token) }
    bytes.appendChecksum(seed: order)
    return bytes
  }

  /// Returns nil if the bytes are damaged, or belong to another sequence.
  package init?(_ bytes: RawSpan, order: UInt64) {
    guard var reader = RecordReader(checked: bytes, seed: order),
      let seconds = reader.read(UInt64.self),
      let idBytes = reader.read(UInt16.self), let leadIn = reader.read(UInt16.self),
      let count = reader.read(UInt32.self), leadIn < count,
      let id = reader.readString(bytes: Int(idBytes)),
      reader.bytesLeft == Int(count) * 4
    else { return nil }
    committedSeconds = seconds
    self.id = idBytes == 0 ? nil : id
    leadInTokens = Int(leadIn)
    tokens = []
    tokens.reserveCapacity(Int(count))
    while let token = reader.read(Int32.self) {
      guard token >= 0, token < Int32.max else { return nil }
      tokens.append(token)
    }
  }

  package init(committedSeconds: UInt64, id: String?, tokens: [Int32], leadInTokens: Int = 0) {
    self.committedSeconds = committedSeconds
    self.id = id
    self.tokens = tokens
    self.leadInTokens = leadInTokens
  }

  package var size: HistorySize {
    HistorySize(tokens: tokens.count, leadInTokens: leadInTokens, sequences: 1)
  }
}

extension SequenceRecord {
  /// The entry of the sequence in a segment's table.
  package func entry(order: UInt64) -> SequenceTable.Entry {
    SequenceTable.Entry(
      order: order, committedSeconds: committedSeconds, digest: checksum(tokens.rawSpan),
      outputDigest: tokens.span.outputDigest(after: leadInTokens),
      tokens: tokens.count, leadInTokens: leadInTokens, id: id)
  }
}
