import Histogram

/// The distribution of times, each known to a thousandth, in memory that does not grow with their number.
package struct Latencies: Sendable {
  private var histogram = Histogram<UInt32>(numberOfSignificantValueDigits: .three)
  private var sum = 0

  package init() {}

  package mutating func add(_ nanoseconds: Int) {
    histogram.record(UInt64(max(0, nanoseconds)))
    sum += nanoseconds
  }

  package mutating func add(_ other: Latencies) {
    histogram.add(other.histogram)
    sum += other.sum
  }

  package var count: Int { Int(histogram.totalCount) }

  /// In microseconds.
  package var mean: Double { Double(sum) / Double(max(1, count)) / 1000 }

  /// The time that a fraction of all times do not exceed, in microseconds; 0 without any time.
  package func quantile(_ fraction: Double) -> Double {
    Double(histogram.valueAtPercentile(fraction * 100)) / 1000
  }
}
