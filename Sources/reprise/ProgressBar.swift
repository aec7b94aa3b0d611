import Foundation

/// A line on standard error with the progress of long work. Silent if that is not a terminal.
final class ProgressBar {
  private let isShown = isatty(STDERR_FILENO) != 0
  private let title: String
  private let start = ContinuousClock.now
  private var drawn: ContinuousClock.Instant?

  private static let width = 30

  init(_ title: String) {
    self.title = title
  }

  /// - Parameters:
  ///   - fraction: The part that is done; nil if the total is unknown.
  ///   - detail: A text such as "1.2 M tokens".
  func show(_ fraction: Double?, _ detail: @autoclosure () -> String) {
    let now = ContinuousClock.now
    if !isShown { return }
    if let drawn, now - drawn < .milliseconds(100), (fraction ?? 0) < 1 { return }
    drawn = now
    var line = "\r\(title) "
    if let fraction {
      let full = Int((min(max(fraction, 0), 1) * Double(Self.width)).rounded())
      line += String(repeating: "█", count: full)
      line += String(repeating: "░", count: Self.width - full)
      line += String(format: " %3.0f %%", fraction * 100)
    }
    line += "  \(detail())  \(Int(micros(since: start) / 1e6)) s\u{1B}[K"
    FileHandle.standardError.write(Data(line.utf8))
  }

  func finish() {
    if isShown && drawn != nil { FileHandle.standardError.write(Data("\n".utf8)) }
  }
}

/// A count for people: 1,234 or 1.2 M.
func readable(_ count: Int) -> String {
  count < 100_000
    ? "\(count)"
    : count < 10_000_000
      ? String(format: "%.2f M", Double(count) / 1e6)
      : String(format: "%.1f M", Double(count) / 1e6)
}

func readable(bytes: Int) -> String {
  let (value, unit) =
    bytes < 1 << 20
    ? (Double(bytes) / 1024, "KiB")
    : bytes < 1 << 30 ? (Double(bytes) / 1_048_576, "MiB") : (Double(bytes) / 1_073_741_824, "GiB")
  return String(format: "%.1f %@", value, unit)
}
