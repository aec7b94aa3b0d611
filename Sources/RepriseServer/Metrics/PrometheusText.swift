import CorpusStore

/// Metrics in Prometheus's text format, version 0.0.4.
struct PrometheusText {
  private(set) var text = ""

  enum Kind: String { case counter, gauge, histogram }

  /// Begins a metric; its samples follow.
  mutating func begin(_ name: String, _ kind: Kind, _ help: String) {
    text += "# HELP \(name) \(help)\n# TYPE \(name) \(kind)\n"
  }

  mutating func sample(_ name: String, _ labels: [(String, String)] = [], _ value: Double) {
    text += name + Self.text(labels) + " " + Self.text(value) + "\n"
  }

  /// A metric of one sample.
  mutating func add(_ name: String, _ kind: Kind, _ help: String, _ value: Double) {
    begin(name, kind, help)
    sample(name, [], value)
  }

  /// A histogram's samples; `begin` comes before.
  mutating func samples(
    _ name: String, _ labels: [(String, String)] = [], _ histogram: Histogram
  ) {
    var count: UInt64 = 0
    for (place, bucket) in histogram.counts.enumerated() {
      count += bucket
      let bound = place < histogram.bounds.count ? Self.text(histogram.bounds[place]) : "+Inf"
      sample("\(name)_bucket", labels + [("le", bound)], Double(count))
    }
    sample("\(name)_sum", labels, histogram.sum)
    sample("\(name)_count", labels, Double(count))
  }

  private static func text(_ labels: [(String, String)]) -> String {
    if labels.isEmpty { return "" }
    let pairs = labels.map { name, value in
      let escaped = value.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"")
        .replacing("\n", with: "\\n")
      return "\(name)=\"\(escaped)\""
    }
    return "{" + pairs.joined(separator: ",") + "}"
  }

  private static func text(_ value: Double) -> String {
    value == value.rounded() && abs(value) < 1e15 ? "\(Int(value))" : "\(value)"
  }
}
