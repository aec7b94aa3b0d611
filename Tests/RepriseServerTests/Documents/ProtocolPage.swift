import Foundation
import RepriseModel

/// The tables and examples of docs/guide/protocol.md.
struct ProtocolPage {
  /// Params by name; true if they are required.
  var methods: [String: [String: Bool]] = [:]
  /// Code and members of `data`, by kind.
  var errors: [String: (code: Int, data: Set<String>)] = [:]
  /// Default and range, by name.
  var limits: [String: (standard: Int, range: ClosedRange<Int>)] = [:]
  /// Lines of JSON, in their order.
  var lines: [String] = []

  init() throws {
    let path = OpenRPCDocument.directory.appendingPathComponent("protocol.md")
    let text = try String(contentsOf: path, encoding: .utf8)
    var section = ""
    for line in text.split(separator: "\n").map(String.init) {
      if line.hasPrefix("## ") { section = line }
      if line.hasPrefix("    {") || line.hasPrefix("    [") {
        lines.append(line.trimmingCharacters(in: .whitespaces))
      }
      let cells = line.split(separator: "|", omittingEmptySubsequences: false).dropFirst()
        .map { $0.trimmingCharacters(in: .whitespaces) }
      guard line.hasPrefix("| "), cells.count > 3 else { continue }
      switch section {
      case "## Methods":
        for name in Self.quoted(cells[0]) { methods[name] = Self.params(cells[1]) }
      case "## Errors":
        if let code = Self.integer(cells[0]) {
          errors[cells[1]] = (code, Set(Self.names(cells[2])))
        }
      case "## Limits":
        let ends = cells[2].split(separator: "…").compactMap { Self.integer(String($0)) }
        if let standard = Self.integer(cells[1]), ends.count == 2,
          let name = Self.quoted(cells[0]).first
        {
          limits[name] = (standard, ends[0]...ends[1])
        }
      default: break
      }
    }
  }

  /// The text between backquotes.
  private static func quoted(_ cell: String) -> [String] {
    cell.split(separator: "`", omittingEmptySubsequences: false).enumerated()
      .filter { $0.offset % 2 == 1 }.map { String($0.element) }
  }

  /// "corpus, depth? (64; 2…127), retention? {tokens?}, snapshot *or* path, draft options"
  private static func params(_ cell: String) -> [String: Bool] {
    let plain = cell.replacing(/\([^)]*\)|\{[^}]*\}|\[[^\]]*\]/, with: "")
    var params: [String: Bool] = [:]
    for part in plain.split(separator: ",") {
      let choices = part.replacing("*or*", with: ",").split(separator: ",")
        .map { $0.trimmingCharacters(in: .whitespaces) }
      for choice in choices {
        if choice == "draft options" {
          for option in [
            "max_tokens", "max_factor", "max_offset", "min_probability", "min_match", "tree",
            "policy", "vocabulary",
          ] { params[option] = false }
        } else {
          let name = choice.hasSuffix("?") ? String(choice.dropLast()) : choice
          params[name] = name == choice && choices.count == 1
        }
      }
    }
    return params
  }

  private static func names(_ cell: String) -> [String] {
    (cell.components(separatedBy: ", such as").first ?? "").split(separator: ",")
      .map { $0.trimmingCharacters(in: .whitespaces) }
  }

  /// An integer with a true minus, or commas between thousands, or both.
  private static func integer(_ text: String) -> Int? {
    Int(
      text.trimmingCharacters(in: .whitespaces).replacing("−", with: "-").replacing(",", with: ""))
  }
}
