/// Metrics in Prometheus's text format, as a service told them at one moment.
struct MetricsReading: Equatable {
  private struct Sample: Equatable {
    var labels: [String: String]
    var value: Double
  }

  /// A line that is no comment and no sample.
  struct Malformed: Error, Equatable, CustomStringConvertible {
    let line: String
    var description: String { "the service's metrics have a line that is none: \(line.prefix(80))" }
  }

  /// By the name of the metric.
  private var samples: [String: [Sample]] = [:]

  init(_ text: String) throws(Malformed) {
    for line in text.split(whereSeparator: \.isNewline) where !line.hasPrefix("#") {
      guard let (name, sample) = Self.sample(line) else { throw Malformed(line: String(line)) }
      samples[name, default: []].append(sample)
    }
  }

  // MARK: Values

  /// The sum of a metric's samples that have all of some labels; 0 where there are none.
  func total(_ name: String, _ labels: [String: String] = [:]) -> Double {
    matching(name, labels).reduce(0) { $0 + $1.value }
  }

  /// The values of a label that a metric has, in the order in which they are told.
  func values(of label: String, in name: String) -> [String] {
    var seen: Set<String> = []
    return (samples[name] ?? []).compactMap { $0.labels[label] }.filter { seen.insert($0).inserted }
  }

  /// How many values of a histogram are at most each of its bounds, which rise to infinity.
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

  /// `name{label="value",…} number`, perhaps with a time behind it.
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
