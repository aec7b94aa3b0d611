import Foundation

/// The kinds of tests.
enum Kind: String, CaseIterable, Codable {
  /// The service is killed.
  case kill
  /// The disk loses power.
  case replay
  /// The system refuses calls.
  case faults

  var number: Int { Kind.allCases.firstIndex(of: self)! }
}

/// Counts, shows the progress of the tests, and prints the table at the end.
final class Report {
  private struct Line {
    var points = 0
    var seconds = 0.0
    var acknowledged = 0
    var drafts = 0
    var failures = 0
  }

  private let seed: UInt64
  private let pointsWanted: Int
  private var lines: [Kind: Line] = [:]
  private let start = ContinuousClock.now
  private var kindStart = ContinuousClock.now
  private let isTerminal = isatty(STDERR_FILENO) != 0
  /// Events on the way, such as crash points that were reached.
  private var notes: [String: Int] = [:]

  init(seed: UInt64, pointsWanted: Int) {
    self.seed = seed
    self.pointsWanted = pointsWanted
  }

  var failures: Int { lines.values.reduce(0) { $0 + $1.failures } }

  func begin(_ kind: Kind) { kindStart = .now }

  func end(_ kind: Kind) {
    let elapsed = ContinuousClock.now - kindStart
    lines[kind, default: Line()].seconds += elapsed / .seconds(1)
  }

  /// Notes that a point was tested.
  ///
  /// - Parameter replay: The argument of `--replay` that repeats it.
  func add(
    _ kind: Kind, replay: String, acknowledged: Int, drafts: Int, failures: [String],
    kept: String? = nil
  ) {
    lines[kind, default: Line()].points += 1
    lines[kind, default: Line()].acknowledged += acknowledged
    lines[kind, default: Line()].drafts += drafts
    if !failures.isEmpty {
      lines[kind, default: Line()].failures += 1
      clear()
      put("FAILED  tools/crash --replay \(replay)" + (kept.map { "  (\($0))" } ?? ""))
      for failure in failures.prefix(4) { put("        \(failure.prefix(700))") }
      if failures.count > 4 { put("        and \(failures.count - 4) more") }
    }
    show()
  }

  func note(_ what: String) { notes[what, default: 0] += 1 }

  func count(of note: String) -> Int { notes[note] ?? 0 }

  func say(_ sentence: String) {
    clear()
    put(sentence)
  }

  /// Unbuffered, so that an interrupted run has printed its findings.
  private func put(_ line: String) { FileHandle.standardOutput.write(Data((line + "\n").utf8)) }

  private func clear() {
    if isTerminal { FileHandle.standardError.write(Data("\r\u{1B}[K".utf8)) }
  }

  private func show() {
    guard isTerminal else { return }
    let points = lines.values.reduce(0) { $0 + $1.points }
    let seconds = Int((ContinuousClock.now - start) / .seconds(1))
    let width = 30
    let full = min(width, points * width / max(1, pointsWanted))
    let bar = String(repeating: "█", count: full) + String(repeating: "░", count: width - full)
    FileHandle.standardError.write(
      Data(
        "\r\(bar) \(points) of \(pointsWanted) points, \(failures) failed  \(seconds) s\u{1B}[K"
          .utf8))
  }

  func printTable() {
    clear()
    for (note, count) in notes.sorted(by: { $0.key < $1.key }) { put("\(note): \(count)") }
    func row(_ words: [String]) {
      var text = words[0].padding(toLength: 8, withPad: " ", startingAt: 0)
      for word in words.dropFirst() {
        text += String(repeating: " ", count: max(1, 14 - word.count)) + word
      }
      put(text)
    }
    row(["", "points", "seconds", "sequences", "drafts", "failures"])
    for kind in Kind.allCases {
      guard let line = lines[kind] else { continue }
      row([
        kind.rawValue, "\(line.points)", String(format: "%.1f", line.seconds),
        "\(line.acknowledged)", "\(line.drafts)", "\(line.failures)",
      ])
    }
    put("seed \(seed)")
  }
}
