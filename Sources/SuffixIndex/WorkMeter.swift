/// Asks now and then whether work that takes long is still wanted.
///
/// What is asked may cost a little, so it is asked once in `batchUnits` units of work. A unit is
/// something like a suffix that is looked at: 10 to 200 ns, for which memory is waited.
struct WorkMeter: ~Copyable {
  /// Some 5 ms of work.
  static let batchUnits = 1 << 15

  private let isCancelled: () -> Bool
  private var unitsLeft = batchUnits

  init(_ isCancelled: @escaping () -> Bool) {
    self.isCancelled = isCancelled
  }

  /// Asks at once.
  borrowing func check() throws(SealedIndexBuilder.Cancelled) {
    if isCancelled() { throw SealedIndexBuilder.Cancelled() }
  }

  /// Counts units of work, and asks when it is time.
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

  /// Sorts, however many elements there are.
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

  /// An array of zeros, however long.
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

/// A range cut into runs of a meter's batch, between which it is asked.
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
