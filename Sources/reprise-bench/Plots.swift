import ToolSupport

/// Draft latency and bytes a token against history size.
struct HistoryPlot {
  private var latency: [(tokens: Int, p50: Double, p99: Double, tree: Bool)] = []
  private var bytes: [(tokens: Int, bytes: Double)] = []

  var isEmpty: Bool { latency.isEmpty }

  mutating func addLatency(tokens: Int, p50: Double, p99: Double, tree: Bool) {
    latency.append((tokens, p50, p99, tree))
  }

  mutating func addBytes(tokens: Int, bytes: Double) { self.bytes.append((tokens, bytes)) }

  func svg() -> String {
    func latencies(_ tree: Bool, p99: Bool) -> [(x: Double, y: Double)] {
      latency.filter { $0.tree == tree }.map { (Double($0.tokens) / 1e6, p99 ? $0.p99 : $0.p50) }
    }
    return Chart.svg(
      Chart(
        title: "a step in process: accept and draft, µs", xTitle: "tokens of history",
        xUnit: " M", xAxis: .logarithmic,
        lines: [
          Chart.Line(name: "tree, p99", colour: "#b2182b", points: latencies(true, p99: true)),
          Chart.Line(name: "path, p99", colour: "#ef8a62", points: latencies(false, p99: true)),
          Chart.Line(name: "tree, p50", colour: "#2166ac", points: latencies(true, p99: false)),
          Chart.Line(name: "path, p50", colour: "#67a9cf", points: latencies(false, p99: false)),
        ]),
      Chart(
        title: "bytes a token of history", xTitle: "tokens of history", xUnit: " M",
        xAxis: .logarithmic,
        lines: [
          Chart.Line(
            name: "disk and memory", colour: "#1b7837",
            points: bytes.map { (Double($0.tokens) / 1e6, $0.bytes) })
        ]))
  }
}

/// The kept tokens and the file size of a bounded corpus, against the tokens that it was fed.
struct RetentionPlot {
  private var samples: [(fed: Int, kept: Int, bytesUsed: Int, bytesLong: Int)] = []

  var isEmpty: Bool { samples.isEmpty }

  mutating func add(fed: Int, kept: Int, bytesUsed: Int, bytesLong: Int) {
    samples.append((fed, kept, bytesUsed, bytesLong))
  }

  func svg() -> String {
    func points(_ value: (Int, Int, Int) -> Int) -> [(x: Double, y: Double)] {
      samples.map {
        (Double($0.fed) / 1e6, Double(value($0.kept, $0.bytesUsed, $0.bytesLong)) / 1e6)
      }
    }
    return Chart.svg(
      Chart(
        title: "the corpus's file, MB", xTitle: "tokens fed", xUnit: " M", xAxis: .linear,
        lines: [
          Chart.Line(
            name: "length (ls)", colour: "#67a9cf", points: points { _, _, long in long }),
          Chart.Line(
            name: "in use on the disk (du)", colour: "#2166ac",
            points: points { _, used, _ in used }),
        ]),
      Chart(
        title: "tokens kept, millions; the bound is 1",
        xTitle: "tokens fed", xUnit: " M", xAxis: .linear,
        lines: [
          Chart.Line(name: "kept", colour: "#1b7837", points: points { kept, _, _ in kept })
        ]))
  }
}
