/// A finished sequence as it stands in the log until it is sealed.
///
///     0   u64  when it was committed, seconds since 1970
///     8   u32  bytes of the id; 0 for none
///     12  u32  tokens
///     16  id, UTF-8
///     …   i32  tokens
///     …   u64  XXH3 of all before
struct SequenceRecord: Equatable {
  var committedSeconds: UInt64
  var id: String
  var tokens: [Int32]

  func encoded() -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(24 + id.utf8.count + tokens.count * 4)
    bytes.append(committedSeconds)
    bytes.append(UInt32(id.utf8.count))
    bytes.append(UInt32(tokens.count))
    bytes.append(contentsOf: id.utf8)
    for token in tokens { bytes.append(token) }
    bytes.appendChecksum()
    return bytes
  }

  /// nil where the bytes are damaged.
  init?(_ bytes: RawSpan) {
    guard var reader = RecordReader(checked: bytes),
      let seconds = reader.read(UInt64.self),
      let idBytes = reader.read(UInt32.self),
      let count = reader.read(UInt32.self),
      let id = reader.readString(bytes: Int(idBytes)),
      reader.bytesLeft == Int(count) * 4
    else { return nil }
    committedSeconds = seconds
    self.id = id
    tokens = []
    tokens.reserveCapacity(Int(count))
    while let token = reader.read(Int32.self) {
      guard token >= 0 else { return nil }
      tokens.append(token)
    }
  }

  init(committedSeconds: UInt64, id: String, tokens: [Int32]) {
    self.committedSeconds = committedSeconds
    self.id = id
    self.tokens = tokens
  }
}
