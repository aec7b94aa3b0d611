/// The state and the counters of a service at one moment.
struct TopSnapshot: Equatable {
  var version: String
  var uptimeSeconds: Double
  var reading: MetricsReading

  /// The counters at the service's start. Before a second reading, the figures since then are
  /// shown.
  func beginning() -> TopSnapshot? {
    (try? MetricsReading("")).map { TopSnapshot(version: version, uptimeSeconds: 0, reading: $0) }
  }

  /// True if the service was restarted after another snapshot was taken.
  func isAfterRestart(since other: TopSnapshot) -> Bool {
    let start = "process_start_time_seconds"
    return reading.total(start) != other.reading.total(start)
      || uptimeSeconds < other.uptimeSeconds
  }
}

/// The work between two snapshots.
struct TopInterval {
  let before: TopSnapshot
  let after: TopSnapshot

  var seconds: Double { max(after.uptimeSeconds - before.uptimeSeconds, 0.001) }

  /// The growth of a counter. A corpus that was dropped and created again may have begun anew.
  func growth(_ name: String, _ labels: [String: String] = [:]) -> Double {
    max(0, after.reading.total(name, labels) - before.reading.total(name, labels))
  }

  func perSecond(_ name: String, _ labels: [String: String] = [:]) -> Double {
    growth(name, labels) / seconds
  }

  /// The growth of one counter for each unit of growth of another; nil if that did not grow.
  func ratio(_ name: String, _ other: String, _ labels: [String: String] = [:]) -> Double? {
    let steps = growth(other, labels)
    return steps > 0 ? growth(name, labels) / steps : nil
  }

  /// A quantile of the values in the interval, computed as Prometheus's `histogram_quantile` does:
  /// linear between two bounds, and the last bound for values beyond it. nil if there are none.
  func quantile(_ fraction: Double, _ name: String, _ labels: [String: String]) -> Double? {
    let earlier = before.reading.buckets(name, labels)
    let buckets = after.reading.buckets(name, labels).map { bucket in
      let old = earlier.first { $0.bound == bucket.bound }?.count ?? 0
      return (bound: bucket.bound, count: max(0, bucket.count - old))
    }
    guard let all = buckets.last?.count, all > 0 else { return nil }
    let wanted = fraction * all
    var below = (bound: 0.0, count: 0.0)
    for bucket in buckets {
      if bucket.count >= wanted && bucket.count > below.count {
        if bucket.bound.isInfinite { return below.bound }
        let share = (wanted - below.count) / (bucket.count - below.count)
        return below.bound + (bucket.bound - below.bound) * share
      }
      below = bucket
    }
    return below.bound
  }
}
