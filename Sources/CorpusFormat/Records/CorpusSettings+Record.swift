import RepriseModel

extension CorpusSettings {
  private static let seed = checksumSeed("settings")

  /// The record `settings`: u32 depth; u32 vocabulary, 0 for none; u32 durability window in
  /// milliseconds, 0 for "commit"; u32 lead-in; u64 tokens, u64 sequences, u64 seconds that are kept,
  /// 0 for no bound; u32 number of end ids, u32 each, in rising order; u32 length of the tokenizer's
  /// name in bytes, all ones for none; name; XXH3.
  func encoded() -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.append(UInt32(depth))
    bytes.append(UInt32(vocabulary ?? 0))
    switch durability {
    case .commit: bytes.append(UInt32(0))
    case .interval(let millis): bytes.append(UInt32(millis))
    }
    bytes.append(UInt32(leadIn))
    for bound in [retention.tokens, retention.sequences, retention.ageSeconds] {
      bytes.append(UInt64(bound ?? 0))
    }
    bytes.append(UInt32(endIDs.count))
    for id in endIDs.list { bytes.append(UInt32(bitPattern: id)) }
    bytes.append(tokenizer.map { UInt32($0.utf8.count) } ?? UInt32.max)
    bytes.append(contentsOf: (tokenizer ?? "").utf8)
    bytes.appendChecksum(seed: Self.seed)
    return bytes
  }

  init?(encoded bytes: RawSpan) {
    guard var reader = RecordReader(checked: bytes, seed: Self.seed),
      let depth = reader.read(UInt32.self), let vocabulary = reader.read(UInt32.self),
      let millis = reader.read(UInt32.self), let leadIn = reader.read(UInt32.self),
      let tokens = reader.read(UInt64.self), let sequences = reader.read(UInt64.self),
      let ageSeconds = reader.read(UInt64.self), let endCount = reader.read(UInt32.self),
      endCount <= EndIDs.countMax
    else { return nil }
    var ends: [Int32] = []
    for _ in 0..<endCount {
      guard let id = reader.read(UInt32.self) else { return nil }
      ends.append(Int32(bitPattern: id))
    }
    guard let endIDs = EndIDs(ends), let nameBytes = reader.read(UInt32.self) else { return nil }
    self.init(
      depth: Int(depth), vocabulary: vocabulary == 0 ? nil : Int(vocabulary), leadIn: Int(leadIn),
      endIDs: endIDs)
    if nameBytes != UInt32.max {
      guard let name = reader.readString(bytes: Int(nameBytes)) else { return nil }
      tokenizer = name
    }
    if millis > 0 { durability = .interval(millis: Int(millis)) }
    func bound(_ value: UInt64) -> Int? { value == 0 ? nil : Int(truncatingIfNeeded: value) }
    retention = Retention(
      tokens: bound(tokens), sequences: bound(sequences), ageSeconds: bound(ageSeconds))
    guard reader.bytesLeft == 0, problem == nil else { return nil }
  }
}
