import RepriseModel

/// The description of a segment's sequences, without their tokens, in the order of the index's
/// text. Each entry:
///
///     0   u64  order number
///     8   u64  when it was committed, seconds since 1970
///     16  u64  XXH3 of its tokens
///     24  u64  XXH3 of the tokens of its output
///     32  u32  tokens
///     36  u16  bytes of the id; 0 for none
///     38  u16  tokens of the lead-in, with which the tokens begin
///     40  id, UTF-8
///
/// With it a segment can be taken apart again: to remove some of its sequences, to rebuild a
/// damaged index, to find the sequences that damage has hit.
package struct SequenceTable {
  package struct Entry: Equatable, Sendable {
    package var order: UInt64
    package var committedSeconds: UInt64
    /// Of all tokens.
    package var digest: UInt64
    package var outputDigest: UInt64
    /// All tokens, the lead-in included.
    package var tokens: Int
    package var leadInTokens: Int
    package var id: String?

    package var size: HistorySize {
      HistorySize(tokens: tokens, leadInTokens: leadInTokens, sequences: 1)
    }

    package init(
      order: UInt64, committedSeconds: UInt64, digest: UInt64, outputDigest: UInt64, tokens: Int,
      leadInTokens: Int = 0, id: String?
    ) {
      self.order = order
      self.committedSeconds = committedSeconds
      self.digest = digest
      self.outputDigest = outputDigest
      self.tokens = tokens
      self.leadInTokens = leadInTokens
      self.id = id
    }
  }

  package init() {}

  package private(set) var bytes: [UInt8] = []
  package private(set) var size = HistorySize()
  private var firstOrder = UInt64.max
  private var lastOrder: UInt64 = 0
  private var oldest = UInt64.max
  private var newest: UInt64 = 0

  /// Smallest and largest order number. There must be an entry.
  package var orders: ClosedRange<UInt64> { firstOrder...lastOrder }
  /// Earliest and latest commit. There must be an entry.
  package var seconds: ClosedRange<UInt64> { oldest...newest }

  package mutating func append(_ entry: Entry) {
    let id = entry.id ?? ""
    bytes.append(entry.order)
    bytes.append(entry.committedSeconds)
    bytes.append(entry.digest)
    bytes.append(entry.outputDigest)
    bytes.append(UInt32(entry.tokens))
    bytes.append(UInt16(id.utf8.count))
    bytes.append(UInt16(entry.leadInTokens))
    bytes.append(contentsOf: id.utf8)
    size += entry.size
    firstOrder = min(firstOrder, entry.order)
    lastOrder = max(lastOrder, entry.order)
    oldest = min(oldest, entry.committedSeconds)
    newest = max(newest, entry.committedSeconds)
  }

  package mutating func reserveCapacity(_ count: Int) { bytes.reserveCapacity(count) }

  /// Memory of the entries of a table, together with the bytes from which they are read.
  package static func bytesToRead(sequences: Int, tableBytes: Int) -> Int {
    // Ids longer than a string's own 15 bytes are on the heap.
    2 * tableBytes + sequences * (MemoryLayout<Entry>.stride + 32)
  }

  /// The entries of a table, or nil if the bytes are not a table.
  package static func entries(_ bytes: [UInt8], count: Int) -> [Entry]? {
    var entries: [Entry] = []
    // The count comes from outside: memory is reserved for no more than the bytes can hold.
    entries.reserveCapacity(min(count, bytes.count / 40))
    var reader = RecordReader(bytes.rawSpan)
    while reader.bytesLeft > 0 {
      guard let order = reader.read(UInt64.self), let seconds = reader.read(UInt64.self),
        let digest = reader.read(UInt64.self), let outputDigest = reader.read(UInt64.self),
        let tokens = reader.read(UInt32.self),
        let idBytes = reader.read(UInt16.self), let leadIn = reader.read(UInt16.self),
        leadIn < tokens, let id = reader.readString(bytes: Int(idBytes))
      else { return nil }
      entries.append(
        Entry(
          order: order, committedSeconds: seconds, digest: digest, outputDigest: outputDigest,
          tokens: Int(tokens),
          leadInTokens: Int(leadIn), id: idBytes == 0 ? nil : id))
    }
    return entries.count == count ? entries : nil
  }
}
