import RepriseModel
import SuffixIndex

/// A segment, as drafts need it: a sealed index over finished sequences.
package struct HistorySegment {
  /// Positive, and never used again for another segment of one source.
  package let number: UInt64
  package let size: HistorySize
  /// The lowest and the highest order number of its sequences.
  package let orders: ClosedRange<UInt64>
  package let index: SealedIndex

  package init(
    number: UInt64, size: HistorySize, orders: ClosedRange<UInt64>, index: SealedIndex
  ) {
    self.number = number
    self.size = size
    self.orders = orders
    self.index = index
  }
}

/// The segments of a history at one moment. Their bytes stay in place as long as this object lives.
package protocol SegmentSource: AnyObject, Sendable {
  /// By rising number.
  var historySegments: [HistorySegment] { get }

  /// The place of their bytes, for errors: the path of a file.
  var place: String { get }
}
