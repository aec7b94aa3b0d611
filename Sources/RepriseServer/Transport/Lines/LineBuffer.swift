import Glibc
import NIOCore

/// A line without its newline. A long line is in pieces: joining megabytes, repeatedly while they
/// arrive, would block an event loop for too long.
struct Line: Sendable {
  fileprivate var pieces: [ByteBuffer] = []
  fileprivate var last: ByteBuffer
  let count: Int

  /// The whole line in one buffer. Takes time if the line is long.
  func joined() -> ByteBuffer {
    guard var line = pieces.first else { return last }
    line.reserveCapacity(count)
    for piece in pieces.dropFirst() {
      line.writeImmutableBuffer(piece)
      // The thread that joins them has low priority.
      sched_yield()
    }
    line.writeImmutableBuffer(last)
    return line
  }
}

/// Extracts lines from bytes that arrive in pieces.
struct LineBuffer: Sendable {
  /// Pieces of a long line whose end has not arrived.
  private var pieces: [ByteBuffer] = []
  private var pieceBytes = 0
  /// The bytes that follow the pieces.
  private var bytes = ByteBuffer()
  /// The offset up to which `bytes` has been searched for a newline.
  private var searched = 0

  /// Smaller pieces are joined, so that buffered bytes take little more than their own number.
  private static let pieceBytesMin = 1 << 16

  /// The number of buffered bytes: of waiting lines, and of one without an end.
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

  /// Removes and returns the next complete line.
  mutating func next() -> Line? {
    guard let length = bytes.bytesBefore(UInt8(ascii: "\n"), from: searched) else {
      searched = bytes.readableBytes
      // The bytes of earlier lines lie before it, and would be kept until its end arrives.
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

  /// Removes and returns everything.
  mutating func takeAll() -> LineBuffer {
    defer { self = LineBuffer() }
    return self
  }
}

extension ByteBuffer {
  /// The number of readable bytes before the first one of a value, searched from an offset on; nil
  /// if there is none.
  fileprivate func bytesBefore(_ byte: UInt8, from offset: Int) -> Int? {
    unsafe withUnsafeReadableBytes { bytes in
      guard offset < bytes.count, let base = bytes.baseAddress else { return nil }
      // SAFETY: the search stays inside the readable bytes.
      let found = unsafe memchr(base + offset, Int32(byte), bytes.count - offset)
      return unsafe found.map { unsafe UnsafeRawPointer($0) - base }
    }
  }
}
