import Foundation
import Glibc

/// A terminal whose other end a test holds.
final class PseudoTerminal {
  private let controller: Int32
  /// The standard input and output of the command under test.
  let terminal: FileHandle
  /// Everything that was drawn.
  private(set) var drawn = ""

  // TIOCSPTLCK and TIOCGPTN, which are macros that Swift cannot import.
  private static let setLock: UInt = 0x4004_5431
  private static let getNumber: UInt = 0x8004_5430

  init(width: UInt16, height: UInt16) throws {
    // Equivalent to posix_openpt(3) and related functions, which Swift's Glibc lacks.
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

  /// True if typed text is echoed, as it is in a shell.
  var isEchoing: Bool {
    var settings = termios()
    unsafe tcgetattr(terminal.fileDescriptor, &settings)
    return settings.c_lflag & tcflag_t(ECHO) != 0
  }

  func type(_ text: String) {
    let bytes = [UInt8](text.utf8)
    _ = unsafe write(controller, bytes, bytes.count)
  }

  /// Waits until `text` was drawn since the last wait; returns what was drawn.
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
