/// Counts of values by upper bounds.
public struct Histogram: Equatable, Sendable {
  /// Upper bounds, rising. Larger values are counted beyond the last.
  public let bounds: [Double]
  /// The number of values in each interval, not cumulative; one more than there are bounds.
  public private(set) var counts: [UInt64]
  /// The sum of all values.
  public private(set) var sum = 0.0

  public init(bounds: [Double]) {
    self.bounds = bounds
    counts = [UInt64](repeating: 0, count: bounds.count + 1)
  }

  /// Bounds for durations in seconds, from 10 µs to 10 s.
  public static let seconds = Histogram(
    bounds: [
      0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025,
      0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
    ])

  /// Bounds for numbers of tokens, from 0 to 1,024.
  public static let tokens = Histogram(bounds: [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024])

  /// The number of all values.
  public var count: UInt64 { counts.reduce(0, +) }

  /// Counts a value in the interval that holds it.
  public mutating func add(_ value: Double) {
    var place = 0
    while place < bounds.count && value > bounds[place] { place += 1 }
    counts[place] += 1
    sum += value
  }

  /// Adds the counts of a histogram with the same bounds.
  public mutating func add(_ other: Histogram) {
    for place in counts.indices { counts[place] += other.counts[place] }
    sum += other.sum
  }

  /// Sets all counts to zero and keeps the storage.
  public mutating func removeAll() {
    for place in counts.indices { counts[place] = 0 }
    sum = 0
  }

  /// The smallest bound that at least this fraction of the values do not exceed; infinite beyond
  /// the last.
  public func quantile(_ fraction: Double) -> Double {
    let wanted = fraction * Double(count)
    var seen = 0.0
    for (place, bound) in bounds.enumerated() {
      seen += Double(counts[place])
      if seen >= wanted { return bound }
    }
    return .infinity
  }
}
