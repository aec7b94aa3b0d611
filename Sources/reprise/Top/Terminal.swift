import Concurrency
import Foundation

/// The terminal that a command draws on: the alternate screen, which is closed when the command
/// ends.
final class Terminal {
  private var saved: termios?
  private let isColoured: Bool
  private var isOpen = false

  static let isThere = isatty(STDOUT_FILENO) != 0

  init(environment: [String: String] = ProcessInfo.processInfo.environment) {
    // https://no-color.org: any text that is not empty.
    isColoured = (environment["NO_COLOR"] ?? "").isEmpty && environment["TERM"] != "dumb"
  }

  deinit { close() }

  /// Columns and rows.
  var size: (width: Int, height: Int) {
    var size = winsize()
    let status = unsafe ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size)
    if status != 0 || size.ws_col == 0 || size.ws_row == 0 { return (80, 24) }
    return (Int(size.ws_col), Int(size.ws_row))
  }

  /// Shows the alternate screen, and makes keys arrive one by one without echo. Interrupts stay
  /// signals.
  func open() {
    isOpen = true
    write("\u{1B}[?1049h\u{1B}[?25l")
    var settings = termios()
    guard isatty(STDIN_FILENO) != 0, unsafe tcgetattr(STDIN_FILENO, &settings) == 0 else { return }
    saved = settings
    settings.c_lflag &= ~tcflag_t(ICANON | ECHO)
    unsafe tcsetattr(STDIN_FILENO, TCSANOW, &settings)
  }

  func close() {
    if !isOpen { return }
    isOpen = false
    write("\u{1B}[?25h\u{1B}[?1049l")
    if var saved { unsafe tcsetattr(STDIN_FILENO, TCSANOW, &saved) }
  }

  /// Draws over the last lines, so that nothing flickers.
  func draw(_ lines: [TopView.Line]) {
    let text = lines.map { styled($0) + "\u{1B}[K" }.joined(separator: "\r\n")
    write("\u{1B}[H" + text + "\u{1B}[J")
  }

  private func styled(_ line: TopView.Line) -> String {
    let code: String? =
      switch line.style {
      case .plain: nil
      case .title: "1"
      case .heading: "2"
      case .alarm: "33"
      }
    guard isColoured, let code, !line.text.isEmpty else { return line.text }
    return "\u{1B}[\(code)m\(line.text)\u{1B}[0m"
  }

  private func write(_ text: String) {
    // Errors of a closed terminal are ignored.
    try? FileHandle.standardOutput.write(contentsOf: Data(text.utf8))
  }

  /// Keys as they are pressed, until standard input ends; none if it is not a terminal.
  static func keys() -> AsyncStream<UInt8> {
    AsyncStream { continuation in
      guard isatty(STDIN_FILENO) != 0 else { return }
      // It blocks until a key is pressed, and ends with the process.
      _ = WorkerThread(required: "reprise-keys", .ordinary) {
        var key: UInt8 = 0
        while unsafe read(STDIN_FILENO, &key, 1) == 1 { continuation.yield(key) }
        continuation.finish()
      }
    }
  }
}
