import Foundation

/// The display of `reprise top`: lines that fit a terminal, on the work between two readings of a
/// service.
///
/// The lines depend only on the arguments, so that tests can compare them.
struct TopView {
  struct Line: Equatable {
    enum Style { case plain, title, heading, alarm }
    var text: String
    var style = Style.plain
  }

  private let interval: TopInterval
  private let isSinceStart: Bool
  private let width: Int

  let lines: [Line]

  /// - Parameters:
  ///   - before: nil shows all since the service's start.
  ///   - place: The address of the service.
  ///   - trouble: The reason why it cannot be read now; the last reading is shown then.
  init(
    before: TopSnapshot?, after: TopSnapshot, place: String, trouble: String? = nil, width: Int,
    height: Int
  ) {
    let earlier = before.flatMap { after.isAfterRestart(since: $0) ? nil : $0 }
    isSinceStart = earlier == nil
    interval = TopInterval(before: earlier ?? after.beginning() ?? after, after: after)
    self.width = width
    var lines: [Line] = []
    func blank() { lines.append(Line(text: "")) }
    lines += Self.header(interval, isSinceStart, place)
    if let trouble { lines.append(Line(text: trouble, style: .alarm)) }
    blank()
    lines += Self.speculation(interval, width)
    blank()
    lines += Self.latencies(interval)
    if let clients = Self.clients(interval) { lines.append(clients) }
    if let errors = Self.errors(interval) { lines.append(errors) }
    blank()
    lines += Self.corpora(interval, width, rows: height - lines.count - 1)
    self.lines = lines.prefix(max(height, 1)).map { line in
      Line(text: Self.cut(line.text, to: width), style: line.style)
    }
  }

  // MARK: Parts

  private static func header(
    _ interval: TopInterval, _ isSinceStart: Bool, _ place: String
  ) -> [Line] {
    let (snapshot, reading) = (interval.after, interval.after.reading)
    let span =
      isSinceStart ? "since its start" : "in \(fixed(interval.seconds, 1)) s"
    let parts = [
      "connections \(short(reading.total("reprise_connections")))",
      "sessions \(short(reading.total("reprise_sessions")))",
      "memory \(readable(bytes: Int(reading.total("process_resident_memory_bytes"))))",
      "disk \(readable(bytes: Int(reading.total("reprise_store_bytes"))))",
      "cpu \(fixed(100 * interval.perSecond("process_cpu_seconds_total"), 0)) %",
    ]
    return [
      Line(
        text: "reprise \(printable(snapshot.version))  \(printable(place))  "
          + "up \(length(snapshot.uptimeSeconds))  \(span)", style: .title),
      Line(text: parts.joined(separator: "   ")),
    ]
  }

  private static func speculation(_ interval: TopInterval, _ width: Int) -> [Line] {
    let verified = "reprise_spec_decode_num_draft_tokens_total"
    let accepted = "reprise_spec_decode_num_accepted_tokens_total"
    let table = Table(
      columns: [
        "", "steps/s", "tokens/s", "tokens/step", "drafted/s", "accepted/s", "acceptance",
      ],
      rows: [
        [
          "speculation", short(interval.perSecond("reprise_session_steps_total")),
          short(interval.perSecond("reprise_session_output_tokens_total")),
          ratio(
            interval.ratio("reprise_session_output_tokens_total", "reprise_session_steps_total")),
          short(interval.perSecond(verified)), short(interval.perSecond(accepted)),
          percent(interval.ratio(accepted, verified)),
        ]
      ], leading: 16)
    return table.lines(width) + [sources(interval), positions(interval, width)]
  }

  /// The histories that drafts were found in.
  private static func sources(_ interval: TopInterval) -> Line {
    let name = "reprise_drafts_total"
    let all = interval.growth(name)
    let histories = [
      ("local", "own text"), ("group", "group"), ("shared", "history"), ("none", "nothing"),
    ]
    let parts = histories.map {
      let share = all > 0 ? interval.growth(name, ["source": $0]) / all : nil
      return "\($1) \(percent(share))"
    }
    return Line(text: padded("found in", 16) + parts.joined(separator: "   "))
  }

  /// The share of verified drafts whose token at each place was accepted.
  private static func positions(_ interval: TopInterval, _ width: Int) -> Line {
    let name = "reprise_spec_decode_num_accepted_tokens_per_pos_total"
    let drafts = interval.growth("reprise_spec_decode_num_drafts_total")
    let shares = interval.after.reading.values(of: "position", in: name).map { position in
      drafts > 0 ? interval.growth(name, ["position": position]) / drafts : 0
    }
    let places = [1, 2, 4, 8].filter { $0 <= shares.count }.map { place in
      "\(place): \(percent(drafts > 0 ? shares[place - 1] : nil))"
    }
    let text = padded("accepted at", 16)
    return Line(
      text: text + bars(Array(shares.prefix(32))) + "  " + places.joined(separator: "  "))
  }

  private static let methodsShown = [
    "session.step", "speculate", "session.open", "sequence.insert",
  ]

  private static func latencies(_ interval: TopInterval) -> [Line] {
    let name = "reprise_request_duration_seconds"
    let rows = methodsShown.map { method in
      let labels = ["method": method]
      return [
        method, short(interval.perSecond("\(name)_count", labels)),
        time(interval.quantile(0.5, name, labels)), time(interval.quantile(0.99, name, labels)),
      ]
    }
    return Table(columns: ["", "calls/s", "p50", "p99"], rows: rows, leading: 16).lines(80)
  }

  /// A line on clients' reports: steps without a draft, and the first reason except "nothing to
  /// say".
  private static func clients(_ interval: TopInterval) -> Line? {
    let (steps, missed) = ("reprise_client_steps_total", "reprise_client_drafts_missed_total")
    let parts = interval.after.reading.values(of: "client", in: steps)
      .map { (name: $0, steps: interval.growth(steps, ["client": $0])) }
      .filter { $0.steps > 0 }.sorted { ($0.steps, $1.name) > ($1.steps, $0.name) }
      .map { client in
        let reasons = interval.after.reading.values(of: "reason", in: missed).map { reason in
          let labels = ["client": client.name, "reason": reason]
          return (reason: reason, count: interval.growth(missed, labels))
        }
        let none = reasons.reduce(0) { $0 + $1.count }
        let failed = reasons.filter { $0.reason != "empty" && $0.count > 0 }
          .max { $0.count < $1.count }
        let first = failed.map { ", \(printable($0.reason)) \(percent($0.count / client.steps))" }
        return "\(printable(client.name)) \(short(client.steps / interval.seconds)) steps/s, "
          + "without draft \(percent(none / client.steps))\(first ?? "")"
      }
    if parts.isEmpty { return nil }
    return Line(text: padded("clients report", 16) + parts.joined(separator: "   "))
  }

  private static func errors(_ interval: TopInterval) -> Line? {
    let name = "reprise_errors_total"
    let parts = interval.after.reading.values(of: "kind", in: name)
      .map { (kind: $0, rate: interval.perSecond(name, ["kind": $0])) }
      .filter { $0.rate > 0 }.sorted { $0.rate > $1.rate }
      .map { "\(printable($0.kind)) \(short($0.rate))" }
    if parts.isEmpty { return nil }
    return Line(
      text: padded("errors/s", 16) + parts.joined(separator: "   "), style: .alarm)
  }

  /// The busiest come first, then the largest.
  private static func corpora(_ interval: TopInterval, _ width: Int, rows: Int) -> [Line] {
    struct Row {
      var name: String
      var steps: Double
      var tokens: Double
      var cells: [String]
    }
    let reading = interval.after.reading
    let all = reading.values(of: "corpus", in: "reprise_corpus_tokens").map { corpus in
      let labels = ["corpus": corpus]
      func now(_ name: String) -> Double { reading.total("reprise_corpus_\(name)", labels) }
      let tokens = now("tokens")
      let bytes = now("disk_bytes") + now("memory_bytes")
      let steps = interval.perSecond("reprise_corpus_steps_total", labels)
      let perStep = interval.ratio(
        "reprise_corpus_output_tokens_total", "reprise_corpus_steps_total", labels)
      return Row(
        name: corpus, steps: steps, tokens: tokens,
        cells: [
          printable(corpus), short(steps), ratio(perStep), short(now("sessions")),
          short(now("sequences")), short(tokens), tokens > 0 ? fixed(bytes / tokens, 1) : "-",
          short(now("segments")), short(now("merges_total")), short(now("damage")),
        ])
    }
    .sorted { ($0.steps, $0.tokens, $1.name) > ($1.steps, $1.tokens, $0.name) }
    if all.isEmpty { return [Line(text: "no corpus yet")] }
    let shown = all.count > rows ? Array(all.prefix(max(0, rows - 1))) : all
    let table = Table(
      columns: [
        "corpus", "steps/s", "tokens/step", "sessions", "sequences", "tokens", "bytes/token",
        "segments", "merges", "damage",
      ], rows: shown.map(\.cells), leading: 16)
    let more = all.count - shown.count
    return table.lines(width) + (more > 0 ? [Line(text: "… and \(more) more")] : [])
  }

  // MARK: Text

  /// Columns, the first one left-aligned and the others right-aligned. Columns that do not fit are
  /// left out, the last ones first.
  private struct Table {
    var columns: [String]
    var rows: [[String]]
    /// The least width of the first column, so that tables are aligned.
    var leading: Int

    private static let leadingMax = 32

    func lines(_ width: Int) -> [Line] {
      var widths = columns.indices.map { column in
        ([columns] + rows).map { $0[column].count }.max() ?? 0
      }
      widths[0] = min(max(widths[0], leading), Self.leadingMax)
      var count = columns.count
      while count > 1 && widths.prefix(count).reduce(0, +) + 2 * (count - 1) > width { count -= 1 }
      return ([columns] + rows).enumerated().map { place, row in
        let cells = row.prefix(count).enumerated().map { column, cell in
          column == 0 ? padded(cut(cell, to: widths[0]), widths[0]) : indented(cell, widths[column])
        }
        return Line(
          text: cells.joined(separator: "  ").trimmingTrailingSpaces,
          style: place == 0 ? .heading : .plain)
      }
    }
  }

  /// Names come from clients: characters that are not printable could control the terminal.
  private static func printable(_ text: String) -> String {
    String(
      text.unicodeScalars.map { $0.properties.generalCategory == .control ? "·" : Character($0) })
  }

  private static func cut(_ text: String, to width: Int) -> String {
    text.count <= width ? text : text.prefix(max(0, width - 1)) + "…"
  }

  /// One bar for each value from 0 to 1, without trailing zeros.
  private static func bars(_ values: [Double]) -> String {
    let signs = Array("▁▂▃▄▅▆▇█")
    let count = (values.lastIndex { $0 > 0 } ?? -1) + 1
    return String(
      values.prefix(count).map { value in
        signs[min(signs.count - 1, max(0, Int((value * Double(signs.count - 1)).rounded())))]
      })
  }

  /// A number in a few characters: 0, 3.14, 56.0, 1234, 45.6 k.
  static func short(_ value: Double) -> String {
    for (unit, name) in [(1e9, " G"), (1e6, " M"), (1e4, " k")] where value >= unit {
      return fixed(value / (unit == 1e4 ? 1e3 : unit), 1) + name
    }
    if value == value.rounded() || value >= 100 { return fixed(value, 0) }
    return fixed(value, value < 10 ? 2 : 1)
  }

  private static func ratio(_ value: Double?) -> String { value.map { fixed($0, 2) } ?? "-" }
  private static func percent(_ share: Double?) -> String {
    share.map { "\(fixed(100 * $0, 1)) %" } ?? "-"
  }

  static func time(_ seconds: Double?) -> String {
    guard let seconds else { return "-" }
    if seconds < 1e-3 { return "\(fixed(seconds * 1e6, 0)) µs" }
    return seconds < 1 ? "\(fixed(seconds * 1e3, 1)) ms" : "\(fixed(seconds, 1)) s"
  }

  /// A length of time in its two largest units.
  static func length(_ seconds: Double) -> String {
    let seconds = Int(seconds)
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60)
    if days > 0 { return "\(days) d \(hours) h" }
    if hours > 0 { return "\(hours) h \(minutes) min" }
    return minutes > 0 ? "\(minutes) min \(seconds % 60) s" : "\(seconds) s"
  }
}

private func padded(_ text: String, _ width: Int) -> String {
  text + String(repeating: " ", count: max(0, width - text.count))
}

private func indented(_ text: String, _ width: Int) -> String {
  String(repeating: " ", count: max(0, width - text.count)) + text
}

extension String {
  fileprivate var trimmingTrailingSpaces: String {
    String(self[..<(lastIndex { $0 != " " }.map { index(after: $0) } ?? startIndex)])
  }
}
