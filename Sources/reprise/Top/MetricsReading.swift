/// Metrics in Prometheus's text format, as a service reported them at one moment.
struct MetricsReading: Equatable {
  private struct Sample: Equatable {
    var labels: [String: String]
    var value: Double
  }

  /// A line that is neither a comment nor a sample.
  struct Malformed: Error, Equatable, CustomStringConvertible {
    let line: String
    var description: String { "the service's metrics have an invalid line: \(line.prefix(80))" }
  }

  /// Samples by the name of their metric.
  private var samples: [String: [Sample]] = [:]

  init(_ text: String) throws(Malformed) {
    for line in text.split(whereSeparator: \.isNewline) where !line.hasPrefix("#") {
      guard let (name, sample) = Self.sample(line) else { throw Malformed(line: String(line)) }
      samples[name, default: []].append(sample)
    }
  }

  // MARK: Values

  /// The sum of a metric's samples that have all given labels; 0 if there are none.
  func total(_ name: String, _ labels: [String: String] = [:]) -> Double {
    matching(name, labels).reduce(0) { $0 + $1.value }
  }

  /// The values of a label in a metric, in the order of the text.
  func values(of label: String, in name: String) -> [String] {
    var seen: Set<String> = []
    return (samples[name] ?? []).compactMap { $0.labels[label] }.filter { seen.insert($0).inserted }
  }

  /// The cumulative counts of a histogram by upper bound; the last bound is infinite.
  func buckets(_ name: String, _ labels: [String: String] = [:]) -> [(bound: Double, count: Double)]
  {
    matching("\(name)_bucket", labels).compactMap { sample in
      sample.labels["le"].flatMap(Self.number).map { ($0, sample.value) }
    }
    .sorted { $0.bound < $1.bound }
  }

  private func matching(_ name: String, _ labels: [String: String]) -> [Sample] {
    (samples[name] ?? []).filter { sample in labels.allSatisfy { sample.labels[$0] == $1 } }
  }

  // MARK: Reading

  /// Parses `name{label="value",…} number`, optionally followed by a time.
  private static func sample(_ line: Substring) -> (String, Sample)? {
    var rest = line
    let name = rest.prefix { $0 != "{" && $0 != " " }
    rest = rest.dropFirst(name.count)
    var labels: [String: String] = [:]
    if rest.first == "{" {
      rest.removeFirst()
      while let next = rest.first, next != "}" {
        let label = rest.prefix { $0 != "=" }
        rest = rest.dropFirst(label.count + 1)
        guard !label.isEmpty, let value = quoted(&rest) else { return nil }
        labels[String(label)] = value
        if rest.first == "," { rest.removeFirst() }
      }
      guard rest.popFirst() == "}" else { return nil }
    }
    guard !name.isEmpty, let value = rest.split(separator: " ").first.flatMap({ number($0) }) else {
      return nil
    }
    return (String(name), Sample(labels: labels, value: value))
  }

  private static func quoted(_ rest: inout Substring) -> String? {
    guard rest.popFirst() == "\"" else { return nil }
    var value = ""
    while let next = rest.popFirst() {
      switch next {
      case "\"": return value
      case "\\":
        guard let escaped = rest.popFirst() else { return nil }
        value.append(escaped == "n" ? "\n" : escaped)
      default: value.append(next)
      }
    }
    return nil
  }

  private static func number(_ text: some StringProtocol) -> Double? {
    text == "+Inf" ? .infinity : text == "-Inf" ? -.infinity : Double(text)
  }
}
