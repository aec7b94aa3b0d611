/// What a service is, and what it has counted, at one moment.
struct TopSnapshot: Equatable {
  var version: String
  var uptimeSeconds: Double
  var reading: MetricsReading

  /// What is counted at a start. Since then is what there is to be told before a second look.
  func beginning() -> TopSnapshot? {
    (try? MetricsReading("")).map { TopSnapshot(version: version, uptimeSeconds: 0, reading: $0) }
  }

  /// Whether the service has been started again since another one was taken.
  func isAfterRestart(since other: TopSnapshot) -> Bool {
    let start = "process_start_time_seconds"
    return reading.total(start) != other.reading.total(start)
      || uptimeSeconds < other.uptimeSeconds
  }
}

/// What was done between two snapshots.
struct TopInterval {
  let before: TopSnapshot
  let after: TopSnapshot

  var seconds: Double { max(after.uptimeSeconds - before.uptimeSeconds, 0.001) }

  /// How much a counter grew. A corpus that was dropped and made again may have begun anew.
  func growth(_ name: String, _ labels: [String: String] = [:]) -> Double {
    max(0, after.reading.total(name, labels) - before.reading.total(name, labels))
  }

  func perSecond(_ name: String, _ labels: [String: String] = [:]) -> Double {
    growth(name, labels) / seconds
  }

  /// How much one counter grew for each step that another grew; nil where that stood still.
  func ratio(_ name: String, _ other: String, _ labels: [String: String] = [:]) -> Double? {
    let steps = growth(other, labels)
    return steps > 0 ? growth(name, labels) / steps : nil
  }

  /// The value that so many of those between are not above, as Prometheus's `histogram_quantile` tells
  /// it: straight between two bounds, and the last bound for what is beyond it. nil where there are none.
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
