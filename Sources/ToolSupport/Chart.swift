import Foundation

/// Lines over one axis, as a part of an SVG.
package struct Chart {
  package struct Line {
    let name: String
    let colour: String
    let points: [(x: Double, y: Double)]

    package init(name: String, colour: String, points: [(x: Double, y: Double)]) {
      self.name = name
      self.colour = colour
      self.points = points
    }
  }

  package enum Axis { case linear, logarithmic }

  let title: String
  let xTitle: String
  /// The unit behind each number below the axis, with a leading space if there is to be one.
  let xUnit: String
  /// The scale of `x`. `y` is linear, from zero.
  let xAxis: Axis
  let lines: [Line]

  package init(title: String, xTitle: String, xUnit: String, xAxis: Axis, lines: [Line]) {
    self.title = title
    self.xTitle = xTitle
    self.xUnit = xUnit
    self.xAxis = xAxis
    self.lines = lines
  }

  private static let width = 330.0
  private static let height = 230.0
  private static let top = 50.0

  /// An SVG file with two charts side by side.
  package static func svg(_ first: Chart, _ second: Chart) -> String {
    """
    <svg xmlns="http://www.w3.org/2000/svg" width="900" height="340" font-family="sans-serif" \
    font-size="12">
    <rect width="900" height="340" fill="white"/>
    \(first.svg(left: 50))
    \(second.svg(left: 500))
    </svg>

    """
  }

  private func svg(left: Double) -> String {
    let points = lines.flatMap(\.points)
    guard let xMin = points.map(\.x).min(), let xMax = points.map(\.x).max(), xMax > xMin
    else { return "" }
    let yMax = Self.roundUp(points.map(\.y).max() ?? 1)
    let (first, last) = xAxis == .linear ? (0, xMax) : (log10(xMin), log10(xMax))
    func x(_ value: Double) -> Double {
      left + ((xAxis == .linear ? value : log10(value)) - first) / (last - first) * Self.width
    }
    func y(_ value: Double) -> Double { Self.top + Self.height * (1 - value / yMax) }
    var svg = text(left, Self.top - 25, "start", title)
    for step in 0...4 {
      let value = yMax * Double(step) / 4
      svg += rule(left, y(value), left + Self.width, y(value))
      svg += text(left - 6, y(value) + 4, "end", significant(value))
    }
    for value in ticks(xMin, xMax) {
      svg += rule(x(value), Self.top, x(value), Self.top + Self.height)
      svg += text(x(value), Self.top + Self.height + 18, "middle", "\(significant(value))\(xUnit)")
    }
    svg += text(left + Self.width, Self.top + Self.height + 36, "end", xTitle)
    for (place, line) in lines.enumerated() {
      let path = line.points.map { String(format: "%.1f,%.1f", x($0.x), y($0.y)) }
      svg +=
        "<polyline points=\"\(path.joined(separator: " "))\" fill=\"none\" "
        + "stroke=\"\(line.colour)\" stroke-width=\"2\"/>\n"
      // More circles would cover the line.
      for point in line.points where line.points.count < 20 {
        svg += String(
          format: "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3\" fill=\"%@\"/>\n", x(point.x), y(point.y),
          line.colour)
      }
      svg += text(left + 12, Self.top + 14 + 16 * Double(place), "start", line.name, line.colour)
    }
    return svg
  }

  private func ticks(_ xMin: Double, _ xMax: Double) -> [Double] {
    switch xAxis {
    case .linear:
      let end = Self.roundUp(xMax)
      return (0...5).map { end * Double($0) / 5 }.filter { $0 <= xMax }
    case .logarithmic:
      return (Int(log10(xMin).rounded(.up))...Int(log10(xMax).rounded(.down)))
        .map { pow(10, Double($0)) }
    }
  }

  private func text(
    _ x: Double, _ y: Double, _ anchor: String, _ text: String, _ colour: String = "#333"
  ) -> String {
    String(
      format: "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%@\" fill=\"%@\">%@</text>\n", x, y,
      anchor, colour, text)
  }

  private func rule(_ x1: Double, _ y1: Double, _ x2: Double, _ y2: Double) -> String {
    String(
      format: "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"#ddd\"/>\n", x1, y1,
      x2, y2)
  }

  /// 1, 2 or 4 times a power of ten, or 8.
  private static func roundUp(_ value: Double) -> Double {
    let power = pow(10, log10(max(value, 1e-9)).rounded(.down))
    for factor in [1.0, 2, 4, 8, 10] where factor * power >= value { return factor * power }
    return 10 * power
  }
}

/// Three significant digits, without an exponent.
package func significant(_ value: Double) -> String {
  let magnitude = abs(value)
  let digits = magnitude >= 100 || value == value.rounded() ? 0 : magnitude >= 10 ? 1 : 2
  return String(format: "%.\(magnitude < 0.1 && value != 0 ? 3 : digits)f", value)
}
