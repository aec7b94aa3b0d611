import Concurrency
import CorpusFormat
import RepriseModel
import StoreErrors

/// Builds segments from any number of sequences, one after the other, each as large as memory
/// allows.
///
/// A piece takes a quarter of the process's memory at most. If that is in use, pieces become
/// smaller, down to a size that is always allowed: the work then continues and makes more segments.
struct SegmentPieces: ~Copyable {
  private let depth: Int
  /// Memory for the whole expected history in one piece.
  private let bytesExpected: Int
  private let memory: MemoryBudget
  private let tokensMax: Int
  private let isCancelled: () -> Bool
  private var builder: SegmentBuilder?
  private var reservation: MemoryBudget.Reservation?
  private var pieceBytes = 0

  /// Memory for a piece that is built in any case, in bytes.
  private static let bytesLeast = 1 << 18
  /// Memory for the table entry of a sequence. Longer ids make more pieces.
  private static let tableBytesPerSequence = 128

  /// Creates an empty builder.
  ///
  /// - Parameters:
  ///   - expected: The most history that will be appended.
  ///   - tokensMax: The most tokens in a piece.
  ///   - isCancelled: Called every few milliseconds.
  init(
    depth: Int, _ memory: MemoryBudget, expected: HistorySize, tokensMax: Int = .max,
    isCancelled: @escaping () -> Bool
  ) {
    self.depth = depth
    bytesExpected =
      Self.peakBytes(expected, 4 * (expected.tokens + expected.sequences))
      + Self.tableBytesPerSequence * expected.sequences + Self.bytesLeast
    self.memory = memory
    self.tokensMax = tokensMax
    self.isCancelled = isCancelled
  }

  /// Adds a sequence.
  ///
  /// - Returns: The segment that became full with it, or nil.
  mutating func append(
    _ tokens: Span<Int32>, _ entry: SequenceTable.Entry
  ) throws(StoreError) -> BuiltSegment? {
    if builder == nil { begin() }
    guard var current = builder.take() else { return nil }
    current.append(tokens, entry)
    let (size, bytes) = (current.size, current.bytes)
    builder = consume current
    if size.tokens >= tokensMax || Self.peakBytes(size, bytes) >= pieceBytes {
      return try finish()
    }
    reservation?.advance(taken: bytes)
    return nil
  }

  /// Builds a segment from what was appended since the last one. Returns nil if there is nothing.
  mutating func finish() throws(StoreError) -> BuiltSegment? {
    guard let builder = builder.take(), let reservation = reservation.take() else { return nil }
    return try builder.build(reservation, isCancelled: isCancelled)
  }

  private mutating func begin() {
    pieceBytes = max(Self.bytesLeast, min(bytesExpected, memory.bytes(sixteenths: 4)))
    while pieceBytes > Self.bytesLeast, !memory.fits(pieceBytes, for: .operations) {
      pieceBytes = max(Self.bytesLeast, pieceBytes / 2)
    }
    reservation = memory.reserve(pieceBytes, for: .operations, isUrgent: true)
    builder = SegmentBuilder(depth: depth, expected: HistorySize())
  }

  /// Memory of building. The room for collected sequences doubles as it grows.
  private static func peakBytes(_ size: HistorySize, _ bytes: Int) -> Int {
    SegmentBuilder.bytesPerToken * (size.tokens + size.sequences) + bytes
  }
}
