import Foundation

/// Draft latency and bytes a token against history size, as SVG.
struct Plot {
  private var latency: [(tokens: Int, p50: Double, p99: Double, tree: Bool)] = []
  private var bytes: [(tokens: Int, bytes: Double)] = []

  var isEmpty: Bool { latency.isEmpty }

  mutating func addLatency(tokens: Int, p50: Double, p99: Double, tree: Bool) {
    latency.append((tokens, p50, p99, tree))
  }

  mutating func addBytes(tokens: Int, bytes: Double) { self.bytes.append((tokens, bytes)) }

  private struct Line {
    let name: String
    let colour: String
    let points: [(x: Double, y: Double)]
  }

  func svg() -> String {
    func latencies(_ tree: Bool, p99: Bool) -> [(x: Double, y: Double)] {
      latency.filter { $0.tree == tree }.map { (Double($0.tokens), p99 ? $0.p99 : $0.p50) }
    }
    let times = [
      Line(name: "tree, p99", colour: "#b2182b", points: latencies(true, p99: true)),
      Line(name: "path, p99", colour: "#ef8a62", points: latencies(false, p99: true)),
      Line(name: "tree, p50", colour: "#2166ac", points: latencies(true, p99: false)),
      Line(name: "path, p50", colour: "#67a9cf", points: latencies(false, p99: false)),
    ]
    let sizes = [
      Line(
        name: "disk and memory", colour: "#1b7837",
        points: bytes.map { (Double($0.tokens), $0.bytes) })
    ]
    return """
      <svg xmlns="http://www.w3.org/2000/svg" width="900" height="340" font-family="sans-serif" \
      font-size="12">
      <rect width="900" height="340" fill="white"/>
      \(chart(times, title: "a step in process: accept and draft, µs", left: 50))
      \(chart(sizes, title: "bytes a token of history", left: 500))
      </svg>

      """
  }

  private static let width = 330.0
  private static let height = 230.0
  private static let top = 50.0

  /// Logarithmic in tokens, linear from zero in what is measured.
  private func chart(_ lines: [Line], title: String, left: Double) -> String {
    let points = lines.flatMap(\.points)
    let xs = points.map { log10($0.x) }
    guard let xMin = xs.min(), let xMax = xs.max(), xMax > xMin else { return "" }
    let yMax = Self.roundUp(points.map(\.y).max() ?? 1)
    func x(_ tokens: Double) -> Double {
      left + (log10(tokens) - xMin) / (xMax - xMin) * Self.width
    }
    func y(_ value: Double) -> Double { Self.top + Self.height * (1 - value / yMax) }
    func text(_ x: Double, _ y: Double, _ anchor: String, _ text: String, _ colour: String = "#333")
      -> String
    {
      String(
        format: "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%@\" fill=\"%@\">%@</text>\n", x, y,
        anchor, colour, text)
    }
    func rule(_ x1: Double, _ y1: Double, _ x2: Double, _ y2: Double) -> String {
      String(
        format: "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"#ddd\"/>\n", x1, y1,
        x2, y2)
    }
    var svg = text(left, Self.top - 25, "start", title)
    for step in 0...4 {
      let value = yMax * Double(step) / 4
      svg += rule(left, y(value), left + Self.width, y(value))
      svg += text(left - 6, y(value) + 4, "end", Report.text(value))
    }
    for power in Int(xMin.rounded(.up))...Int(xMax) {
      let tokens = pow(10, Double(power))
      svg += rule(x(tokens), Self.top, x(tokens), Self.top + Self.height)
      svg += text(
        x(tokens), Self.top + Self.height + 18, "middle", "\(Report.text(tokens / 1e6)) M")
    }
    svg += text(left + Self.width, Self.top + Self.height + 36, "end", "tokens of history")
    for (place, line) in lines.enumerated() {
      let path = line.points.map { String(format: "%.1f,%.1f", x($0.x), y($0.y)) }
      svg +=
        "<polyline points=\"\(path.joined(separator: " "))\" fill=\"none\" "
        + "stroke=\"\(line.colour)\" stroke-width=\"2\"/>\n"
      for point in line.points {
        svg += String(
          format: "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3\" fill=\"%@\"/>\n", x(point.x), y(point.y),
          line.colour)
      }
      svg += text(left + 12, Self.top + 14 + 16 * Double(place), "start", line.name, line.colour)
    }
    return svg
  }

  /// 1, 2 or 4 times a power of ten, or 8.
  private static func roundUp(_ value: Double) -> Double {
    let power = pow(10, log10(max(value, 1e-9)).rounded(.down))
    for factor in [1.0, 2, 4, 8, 10] where factor * power >= value { return factor * power }
    return 10 * power
  }
}
