import Glibc
import NIOCore

/// A line without its newline. A long one is in pieces: putting megabytes together, again and again
/// while they come, would hold up an event loop.
struct Line: Sendable {
  fileprivate var pieces: [ByteBuffer] = []
  fileprivate var last: ByteBuffer
  let count: Int

  /// All of it. That takes time where the line is long.
  func joined() -> ByteBuffer {
    guard var line = pieces.first else { return last }
    line.reserveCapacity(count)
    for piece in pieces.dropFirst() {
      line.writeImmutableBuffer(piece)
      // The thread that does it is one that others come before.
      sched_yield()
    }
    line.writeImmutableBuffer(last)
    return line
  }
}

/// Lines, out of bytes that come in pieces.
struct LineBuffer: Sendable {
  /// Pieces of a long line whose end is not among them.
  private var pieces: [ByteBuffer] = []
  private var pieceBytes = 0
  /// What follows them.
  private var bytes = ByteBuffer()
  /// How far `bytes` has been searched for a newline.
  private var searched = 0

  /// Smaller pieces are put together, so that each byte that is held takes one byte.
  private static let pieceBytesMin = 1 << 16

  /// Bytes that are held: of lines that wait, and of one that has no end yet.
  var count: Int { pieceBytes + bytes.readableBytes }

  mutating func append(_ read: ByteBuffer) {
    if bytes.readableBytes == 0 {
      bytes = read
    } else if searched == bytes.readableBytes && searched >= Self.pieceBytesMin {
      pieces.append(bytes)
      pieceBytes += bytes.readableBytes
      bytes = read
      searched = 0
    } else {
      var read = read
      bytes.writeBuffer(&read)
    }
  }

  /// Takes the next line that has an end.
  mutating func next() -> Line? {
    guard let length = bytes.bytesBefore(UInt8(ascii: "\n"), from: searched) else {
      searched = bytes.readableBytes
      // What was taken lies before it, and would be kept as long as it has no end.
      bytes.discardReadBytes()
      return nil
    }
    searched = 0
    guard let last = bytes.readSlice(length: length) else { return nil }
    bytes.moveReaderIndex(forwardBy: 1)
    if bytes.readableBytes == 0 { bytes = ByteBuffer() }
    defer {
      pieces = []
      pieceBytes = 0
    }
    return Line(pieces: pieces, last: last, count: pieceBytes + length)
  }

  /// Takes all of it out.
  mutating func takeAll() -> LineBuffer {
    defer { self = LineBuffer() }
    return self
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
