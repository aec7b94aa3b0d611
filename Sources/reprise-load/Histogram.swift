/// Counts of times, to within a sixteenth, in a few hundred counters.
struct Histogram {
  private var counts = [Int](repeating: 0, count: 40 << Self.partBits)
  private(set) var count = 0
  private(set) var maxNanoseconds = 0

  private static let partBits = 4

  mutating func add(nanoseconds: Int) {
    counts[min(counts.count - 1, Self.place(max(0, nanoseconds)))] += 1
    count += 1
    maxNanoseconds = max(maxNanoseconds, nanoseconds)
  }

  mutating func add(_ other: Histogram) {
    if other.count == 0 { return }
    for place in counts.indices { counts[place] += other.counts[place] }
    count += other.count
    maxNanoseconds = max(maxNanoseconds, other.maxNanoseconds)
  }

  /// The milliseconds that a fraction of all times do not exceed.
  func quantileMillis(_ fraction: Double) -> Double {
    let wanted = Int((fraction * Double(count)).rounded(.up))
    var seen = 0
    for place in counts.indices {
      seen += counts[place]
      if seen >= wanted && seen > 0 {
        return Double(min(Self.end(place), maxNanoseconds)) / 1e6
      }
    }
    return 0
  }

  /// Each number up to 16 has its place; beyond, each power of two has sixteen places.
  private static func place(_ value: Int) -> Int {
    let bits = Int.bitWidth - value.leadingZeroBitCount
    if bits <= partBits { return value }
    let shift = bits - partBits - 1
    return ((shift + 1) << partBits) + ((value >> shift) & ((1 << partBits) - 1))
  }

  /// The largest value of a place.
  private static func end(_ place: Int) -> Int {
    let shift = (place >> partBits) - 1
    if shift < 0 { return place }
    return (((1 << partBits) + (place & ((1 << partBits) - 1)) + 1) << shift) - 1
  }
}
