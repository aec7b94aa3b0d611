import Glibc
import NIOCore

/// Lines, out of bytes that come in pieces.
struct LineBuffer {
  private var bytes = ByteBuffer()
  /// How far `bytes` has been searched for a newline.
  private var searched = 0

  /// Bytes that are held: of lines that wait, and of one that has no end yet.
  var count: Int { bytes.readableBytes }

  mutating func append(_ read: ByteBuffer) {
    if bytes.readableBytes == 0 {
      bytes = read
    } else {
      var read = read
      bytes.writeBuffer(&read)
    }
  }

  /// Takes the next line that has an end, without its newline.
  mutating func next() -> ByteBuffer? {
    guard let length = bytes.bytesBefore(UInt8(ascii: "\n"), from: searched) else {
      searched = bytes.readableBytes
      // What was taken lies before it, and would be kept as long as it has no end.
      bytes.discardReadBytes()
      return nil
    }
    searched = 0
    let line = bytes.readSlice(length: length)
    bytes.moveReaderIndex(forwardBy: 1)
    if bytes.readableBytes == 0 { bytes.clear() }
    return line
  }

  mutating func removeAll() {
    bytes = ByteBuffer()
    searched = 0
  }
}

extension ByteBuffer {
  /// How many readable bytes stand before the first one of a value, which is searched for from an
  /// offset on; nil where there is none.
  fileprivate func bytesBefore(_ byte: UInt8, from offset: Int) -> Int? {
    unsafe withUnsafeReadableBytes { bytes in
      guard offset < bytes.count, let base = bytes.baseAddress else { return nil }
      // SAFETY: the search stays inside the readable bytes.
      let found = unsafe memchr(base + offset, Int32(byte), bytes.count - offset)
      return unsafe found.map { unsafe UnsafeRawPointer($0) - base }
    }
  }
}
