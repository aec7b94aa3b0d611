import Foundation
import Glibc

/// A terminal that a test holds the other end of.
final class PseudoTerminal {
  private let controller: Int32
  /// What the command under test has for its standard input and output.
  let terminal: FileHandle
  /// All that was drawn.
  private(set) var drawn = ""

  // TIOCSPTLCK and TIOCGPTN, which are macros that Swift cannot read.
  private static let setLock: UInt = 0x4004_5431
  private static let getNumber: UInt = 0x8004_5430

  init(width: UInt16, height: UInt16) throws {
    // What posix_openpt(3) and its like do; Swift's Glibc has none of them.
    controller = unsafe Glibc.open("/dev/ptmx", O_RDWR | O_NOCTTY)
    var (isLocked, number): (Int32, UInt32) = (0, 0)
    guard unsafe ioctl(controller, Self.setLock, &isLocked) == 0,
      unsafe ioctl(controller, Self.getNumber, &number) == 0
    else { throw CocoaError(.fileReadUnknown) }
    let path = "/dev/pts/\(number)"
    let descriptor = unsafe Glibc.open(path, O_RDWR | O_NOCTTY)
    guard descriptor >= 0 else { throw CocoaError(.fileReadNoSuchFile) }
    terminal = FileHandle(fileDescriptor: descriptor, closeOnDealloc: true)
    resize(width: width, height: height)
  }

  deinit { close(controller) }

  func resize(width: UInt16, height: UInt16) {
    var size = winsize(ws_row: height, ws_col: width, ws_xpixel: 0, ws_ypixel: 0)
    _ = unsafe ioctl(controller, UInt(TIOCSWINSZ), &size)
  }

  /// Whether what is typed is shown, as it is in a shell.
  var isEchoing: Bool {
    var settings = termios()
    unsafe tcgetattr(terminal.fileDescriptor, &settings)
    return settings.c_lflag & tcflag_t(ECHO) != 0
  }

  func type(_ text: String) {
    let bytes = [UInt8](text.utf8)
    _ = unsafe write(controller, bytes, bytes.count)
  }

  /// Waits until something was drawn since the last wait; returns what was.
  @discardableResult
  func wait(for text: String) -> String {
    var fresh = ""
    while !fresh.contains(text) {
      var bytes = [UInt8](repeating: 0, count: 1 << 14)
      let count = unsafe read(controller, &bytes, bytes.count)
      if count <= 0 { break }
      fresh += String(decoding: bytes.prefix(count), as: UTF8.self)
    }
    drawn += fresh
    return fresh
  }
}
