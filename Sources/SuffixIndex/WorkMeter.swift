/// Asks at intervals whether long work is still wanted.
///
/// The question may cost a little, so it is asked once in `batchUnits` units of work. One unit is
/// roughly one suffix comparison: 10 to 200 ns, dominated by cache misses.
struct WorkMeter: ~Copyable {
  /// Some 5 ms of work.
  static let batchUnits = 1 << 15

  private let isCancelled: () -> Bool
  private var unitsLeft = batchUnits

  init(_ isCancelled: @escaping () -> Bool) {
    self.isCancelled = isCancelled
  }

  /// Asks immediately.
  borrowing func check() throws(SealedIndexBuilder.Cancelled) {
    if isCancelled() { throw SealedIndexBuilder.Cancelled() }
  }

  /// Counts units of work, and asks when a batch is complete.
  @inline(__always)
  mutating func spend(_ units: Int) throws(SealedIndexBuilder.Cancelled) {
    unitsLeft -= units
    if unitsLeft < 0 { try checkAndRestart() }
  }

  @inline(never)
  private mutating func checkAndRestart() throws(SealedIndexBuilder.Cancelled) {
    unitsLeft = Self.batchUnits
    try check()
  }

  /// Sorts any number of elements, asking between batches.
  mutating func sort<Element>(
    _ elements: inout [Element], by precedes: (Element, Element) -> Bool
  ) throws(SealedIndexBuilder.Cancelled) {
    if elements.count < Self.batchUnits / 16 {
      try spend(elements.count)
      elements.sort(by: precedes)
      return
    }
    do {
      try elements.sort { one, other in
        try spend(1)
        return precedes(one, other)
      }
    } catch {
      throw SealedIndexBuilder.Cancelled()
    }
  }

  /// Creates an array of zeros of any length, asking between batches.
  borrowing func zeros<Number: FixedWidthInteger>(
    _ count: Int
  ) throws(SealedIndexBuilder.Cancelled) -> [Number] {
    var numbers: [Number] = []
    numbers.reserveCapacity(count)
    for batch in Batches(0..<count) {
      try check()
      numbers.append(contentsOf: repeatElement(0, count: batch.count))
    }
    return numbers
  }
}

/// A range divided into batches of `batchUnits`, with a question between them.
struct Batches: Sequence, IteratorProtocol {
  private var start: Int
  private let end: Int

  init(_ range: Range<Int>) {
    (start, end) = (range.lowerBound, range.upperBound)
  }

  mutating func next() -> Range<Int>? {
    if start == end { return nil }
    let batch = start..<Swift.min(start + WorkMeter.batchUnits, end)
    start = batch.upperBound
    return batch
  }
}
