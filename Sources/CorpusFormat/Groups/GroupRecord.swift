import RepriseModel

/// The record in `groups` under a group's name.
///
///     0   u64 × n  order numbers of its outputs in `group_outputs`, rising; 1 to 16
///     …   u64      XXH3 of all before, with the name's own XXH3 as seed
struct GroupRecord: Equatable {
  var orders: [UInt64]

  init(orders: [UInt64] = []) { self.orders = orders }

  func encoded(name: String) -> [UInt8] {
    var bytes: [UInt8] = []
    for order in orders { bytes.append(order) }
    bytes.appendChecksum(seed: checksumSeed(name))
    return bytes
  }

  /// Returns nil if the bytes are damaged, or belong to another name.
  init?(_ bytes: RawSpan, name: RawSpan) {
    guard bytes.byteCount > 8, bytes.byteCount % 8 == 0,
      var reader = RecordReader(checked: bytes, seed: checksum(name))
    else { return nil }
    orders = []
    while let order = reader.read(UInt64.self) {
      if let last = orders.last, last >= order { return nil }
      orders.append(order)
    }
    if orders.count > OutputGroup.outputsMax { return nil }
  }
}

/// The record in `group_outputs` under the order number of a sequence that belongs to a group.
///
///     0   u16  bytes of the group's name
///     2   u32  tokens
///     6   name, UTF-8
///     …   i32  tokens of the sequence
///     …   u64  XXH3 of all before, with the order number as seed
struct GroupOutputRecord: Equatable {
  var group: String
  var tokens: [Int32]

  init(group: String, tokens: [Int32]) {
    self.group = group
    self.tokens = tokens
  }

  func encoded(order: UInt64) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(14 + group.utf8.count + tokens.count * 4)
    bytes.append(UInt16(group.utf8.count))
    bytes.append(UInt32(tokens.count))
    bytes.append(contentsOf: group.utf8)
    for token in tokens { bytes.append(token) }
    bytes.appendChecksum(seed: order)
    return bytes
  }

  /// Returns nil if the bytes are damaged, or belong to another sequence.
  init?(_ bytes: RawSpan, order: UInt64) {
    guard var reader = RecordReader(checked: bytes, seed: order),
      let nameBytes = reader.read(UInt16.self), nameBytes > 0,
      let count = reader.read(UInt32.self),
      let name = reader.readString(bytes: Int(nameBytes)),
      reader.bytesLeft == Int(count) * 4
    else { return nil }
    group = name
    tokens = []
    tokens.reserveCapacity(Int(count))
    while let token = reader.read(Int32.self) {
      guard token >= 0, token < Int32.max else { return nil }
      tokens.append(token)
    }
  }
}
