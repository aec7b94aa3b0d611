/// A sample of times in nanoseconds, summarised in microseconds.
struct Times {
  private(set) var sample: [Int] = []

  mutating func add(_ nanoseconds: Int) { sample.append(nanoseconds) }

  var count: Int { sample.count }
  var mean: Double { Double(sample.reduce(0, +)) / Double(max(1, sample.count)) / 1000 }

  /// The value that a fraction of the sample does not exceed, in microseconds.
  func quantile(_ fraction: Double) -> Double {
    let sorted = sample.sorted()
    if sorted.isEmpty { return 0 }
    return Double(sorted[min(sorted.count - 1, Int(fraction * Double(sorted.count)))]) / 1000
  }
}
