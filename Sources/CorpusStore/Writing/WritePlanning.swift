import CorpusFormat
import LMDB
import RepriseModel
import StoreErrors

/// Ids, order numbers and room, which jobs look up and take while they are prepared.
struct WritePlanning: ~Copyable {
  private let file: CorpusFile
  private let reading: ReadTransaction
  private let retention: Retention
  /// The time stamp of the planned sequences, in seconds since 1970.
  let seconds: UInt64
  /// All token ids are below it.
  let tokenBound: Int32
  /// The most tokens of a prompt that stand before an output.
  let leadIn: Int
  let endIDs: EndIDs
  /// The size of the history including what was planned so far.
  private(set) var size: HistorySize
  private(set) var nextOrder: UInt64
  /// Digests of the outputs of ids that are not in the file yet.
  private(set) var unsavedIDs: [String: UInt64]

  init(
    _ file: CorpusFile, size: HistorySize, nextOrder: UInt64, seconds: UInt64,
    unsavedIDs: [String: UInt64] = [:]
  ) throws(StoreError) {
    self.file = file
    reading = try file.beginReading()
    retention = file.settings.retention
    tokenBound = file.settings.tokenBound
    leadIn = file.settings.leadIn
    endIDs = file.settings.endIDs
    self.size = size
    self.seconds = seconds
    self.nextOrder = nextOrder
    self.unsavedIDs = unsavedIDs
  }

  /// The digest of the output that an id belongs to, or nil.
  func digest(ofID id: String) throws(WriteRefusal) -> UInt64? {
    if let digest = unsavedIDs[id] { return digest }
    do throws(StoreError) {
      return try file.idRecord(id, reading)?.digest
    } catch {
      throw .refused(error)
    }
  }

  /// Ensures that there is room, before anything of a job is taken.
  ///
  /// - Throws: `needsRoom`, or `refused` for more than the corpus keeps at all.
  mutating func takeRoom(_ added: HistorySize) throws(WriteRefusal) {
    let bounds: [(Retention.Bound, Int?, Int)] = [
      (.tokens, retention.tokens, added.tokens),
      (.sequences, retention.sequences, added.sequences),
    ]
    for case (let bound, let max?, let got) in bounds where got > max {
      throw .refused(.exceedsRetention(bound: bound, max: max, got: got))
    }
    if !(size + added).fits(retention, slack: true) { throw .needsRoom(added) }
    size += added
  }

  /// Takes consecutive order numbers, and returns the first.
  mutating func takeOrders(_ count: Int) -> UInt64 {
    nextOrder += UInt64(count)
    return nextOrder - UInt64(count)
  }

  /// Takes an order number for a sequence, and notes the digest of its id.
  mutating func takeOrder(id: String?, digest: UInt64) -> UInt64 {
    if let id { unsavedIDs[id] = digest }
    nextOrder += 1
    return nextOrder - 1
  }
}
