import Foundation
import ToolSupport
import WireProtocol

/// A measured number with its target.
struct Figure {
  enum Target {
    case atMost(Double)
    case atLeast(Double)
    /// There is no target.
    case none
  }

  let name: String
  let value: Double
  let unit: String
  let target: Target

  var isMet: Bool? {
    switch target {
    case .atMost(let bound): value <= bound
    case .atLeast(let bound): value >= bound
    case .none: nil
    }
  }
}

/// All figures of a run, printed as they arrive.
struct Report {
  private(set) var sections: [(title: String, figures: [Figure])] = []

  mutating func begin(_ title: String) {
    sections.append((title, []))
    print("\n\(title)")
  }

  mutating func add(
    _ name: String, _ value: Double, _ unit: String, _ target: Figure.Target = .none
  ) {
    let figure = Figure(name: name, value: value, unit: unit, target: target)
    sections[sections.count - 1].figures.append(figure)
    let mark = figure.isMet.map { $0 ? "✓" : "✗" } ?? " "
    print(
      "  " + name.padding(toLength: max(58, name.count), withPad: " ", startingAt: 0)
        + significant(value).leftPadded(10) + " "
        + unit.padding(toLength: max(16, unit.count), withPad: " ", startingAt: 0) + mark + " "
        + Self.text(figure.target))
    // Flushed at once, also into a pipe.
    fflush(nil)
  }

  private static func text(_ target: Figure.Target) -> String {
    switch target {
    case .atMost(let bound): "at most \(significant(bound))"
    case .atLeast(let bound): "at least \(significant(bound))"
    case .none: ""
    }
  }

  func json(machine: [String: String]) -> [UInt8] {
    var writer = JSONWriter()
    writer.beginObject()
    writer.name("machine")
    writer.beginObject()
    for (name, value) in machine.sorted(by: { $0.key < $1.key }) {
      writer.name(of: name)
      writer.string(value)
    }
    writer.endObject()
    writer.name("sections")
    writer.beginArray()
    for section in sections {
      writer.beginObject()
      writer.name("title")
      writer.string(section.title)
      writer.name("figures")
      writer.beginArray()
      for figure in section.figures { Self.write(figure, to: &writer) }
      writer.endArray()
      writer.endObject()
    }
    writer.endArray()
    writer.endObject()
    writer.endLine()
    return writer.bytes
  }

  private static func write(_ figure: Figure, to writer: inout JSONWriter) {
    writer.beginObject()
    writer.name("name")
    writer.string(figure.name)
    writer.name("value")
    writer.number(figure.value)
    writer.name("unit")
    writer.string(figure.unit)
    switch figure.target {
    case .atMost(let bound):
      writer.name("at_most")
      writer.number(bound)
    case .atLeast(let bound):
      writer.name("at_least")
      writer.number(bound)
    case .none: break
    }
    writer.endObject()
  }
}

extension String {
  fileprivate func leftPadded(_ width: Int) -> String {
    String(repeating: " ", count: max(0, width - count)) + self
  }
}
