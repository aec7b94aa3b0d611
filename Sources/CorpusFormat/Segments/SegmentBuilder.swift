import Concurrency
import RepriseModel
import SuffixIndex

/// Collects finished sequences, and builds a segment from them.
package struct SegmentBuilder: ~Copyable {
  private var index: SealedIndexBuilder
  private var table = SequenceTable()

  /// - Parameters:
  ///   - expected: The amount of history to reserve room for.
  ///   - tableBytes: Room for the entries of the sequence table, in bytes.
  package init(depth: Int, expected: HistorySize, tableBytes: Int = 0) {
    index = SealedIndexBuilder(
      depth: depth, tokensExpected: expected.tokens + expected.sequences)
    table.reserveCapacity(tableBytes)
  }

  package var isEmpty: Bool { table.size.sequences == 0 }
  package var size: HistorySize { table.size }
  /// The size of the appended sequences in bytes.
  package var bytes: Int { 4 * (size.tokens + size.sequences) + table.bytes.count }

  package mutating func append(_ tokens: Span<Int32>, _ entry: SequenceTable.Entry) {
    index.append(tokens)
    table.append(entry)
  }

  /// Memory of building for each token of real output, its text included.
  package static let bytesPerToken = 32

  /// Memory of building, without the sequence table and small things.
  package static func peakBytes(textTokens: Int, nodes: Int, imageBytes: Int) -> Int {
    SealedIndexBuilder.peakBytes(textTokens: textTokens, nodes: nodes, imageBytes: imageBytes)
      + 2 << 20
  }

  /// Builds the segment.
  ///
  /// - Precondition: At least one sequence was appended.
  /// - Parameters:
  ///   - isCancelled: Called every few milliseconds.
  ///   - admits: Receives the bytes of memory that building will take at its peak, and those that it
  ///     takes now. Returns false if that is too much.
  /// - Returns: nil if it was cancelled or not admitted.
  package consuming func encode(
    isCancelled: @escaping () -> Bool, admits: (_ peak: Int, _ taken: Int) -> Bool
  ) -> EncodedSegment? {
    let table = table
    let tableBytes = table.bytes.count
    do throws(SealedIndexBuilder.Cancelled) {
      let image = try index.build(isCancelled: isCancelled) { memory in
        admits(memory.peak + tableBytes, memory.taken + tableBytes)
      }
      return EncodedSegment(image, table)
    } catch {
      return nil
    }
  }
}
