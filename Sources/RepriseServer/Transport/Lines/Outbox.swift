import NIOCore
import WireProtocol

/// Answers on their way to a connection's channel, in their order.
///
/// Large amounts wait in pieces, one of which is passed on at a time: copying a large answer, or
/// writing it to a client that reads it as fast as it comes, would delay other connections.
struct Outbox: ~Copyable {
  /// Bytes that come after the pieces.
  var writer = JSONWriter()
  private var pieces = CircularBuffer<ByteBuffer>()

  /// The most bytes of a piece that is passed on.
  static let pieceBytes = 1 << 16

  var hasPieces: Bool { !pieces.isEmpty }

  /// Adds a line that was written elsewhere.
  mutating func add(line: some Sequence<ByteBuffer>) {
    stow()
    pieces.append(contentsOf: line)
    pieces.append(ByteBuffer(integer: UInt8(ascii: "\n")))
  }

  /// Turns the written bytes into a piece, if they are many.
  mutating func stowIfMuch() {
    if writer.count > Self.pieceBytes { stow() }
  }

  private mutating func stow() {
    if writer.count == 0 { return }
    pieces.append(writer.takeAll())
    // The memory of a large answer is not kept for the next one.
    if writer.capacity > 4 * Self.pieceBytes { writer = JSONWriter() }
  }

  /// Removes and returns the next piece, with small ones joined; nil if none waits.
  mutating func nextPiece() -> ByteBuffer? {
    guard var piece = pieces.popFirst() else { return nil }
    if piece.readableBytes > Self.pieceBytes {
      let first = piece.readSlice(length: Self.pieceBytes)
      pieces.prepend(piece)
      return first
    }
    while let next = pieces.first, piece.readableBytes + next.readableBytes <= Self.pieceBytes {
      piece.writeImmutableBuffer(next)
      pieces.removeFirst()
    }
    return piece
  }

  /// Removes and returns the written bytes, if nothing comes before them.
  mutating func takeWritten() -> ByteBuffer? {
    pieces.isEmpty && writer.count > 0 ? writer.takeAll() : nil
  }

  mutating func removePieces() { pieces.removeAll() }
}

extension JSONWriter {
  /// Removes and returns the bytes written since the mark, and restores the writer's state.
  mutating func take(since mark: Mark) -> ByteBuffer {
    let taken = unsafe withBytes(since: mark) { unsafe ByteBuffer(bytes: $0) }
    rollBack(to: mark)
    return taken
  }

  /// Removes and returns all bytes, which are the beginning of the next ones.
  mutating func takeAll() -> ByteBuffer {
    let taken = unsafe withBytes { unsafe ByteBuffer(bytes: $0) }
    removeBeginning()
    return taken
  }
}
