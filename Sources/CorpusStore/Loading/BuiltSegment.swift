import Concurrency
import CorpusFormat
import StoreErrors

/// A segment in memory, ready to be written.
struct BuiltSegment: Sendable {
  let content: EncodedSegment
  /// Held for as long as the segment is in memory.
  private let reservation: MemoryBudget.Reservation

  fileprivate init(_ content: EncodedSegment, _ reservation: MemoryBudget.Reservation) {
    self.content = content
    self.reservation = reservation
  }
}

extension SegmentBuilder {
  /// Builds the segment.
  ///
  /// - Precondition: At least one sequence was appended.
  /// - Parameters:
  ///   - reservation: Kept up to date, and enlarged if the text turns out to need more.
  ///   - isCancelled: Called every few milliseconds.
  /// - Throws: `cancelled`; `memoryShort` if more memory is needed than is available.
  consuming func build(
    _ reservation: MemoryBudget.Reservation, isCancelled: @escaping () -> Bool
  ) throws(StoreError) -> BuiltSegment {
    var lacking = 0
    let content = encode(isCancelled: isCancelled) { peak, taken in
      // A build that has begun may use the memory reserved for other kinds of work, but not more
      // than there is.
      if !reservation.resize(to: peak, isUrgent: true) {
        lacking = peak
        return false
      }
      reservation.update(taken: taken)
      return true
    }
    guard let content else { throw lacking > 0 ? .memoryShort(bytes: lacking) : .cancelled }
    return BuiltSegment(content, reservation)
  }
}
