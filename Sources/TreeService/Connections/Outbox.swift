import NIOCore
import WireProtocol

/// Answers on their way to a connection's channel, in their order.
///
/// Where there is much of them it waits in pieces, of which one is handed over at a time: to copy a
/// large answer, or to write it to a client that takes it as fast as it comes, would hold up others.
struct Outbox: ~Copyable {
  /// What comes after the pieces.
  var writer = JSONWriter()
  private var pieces = CircularBuffer<ByteBuffer>()

  /// Of a piece that is handed over, at most.
  static let pieceBytes = 1 << 16

  var hasPieces: Bool { !pieces.isEmpty }

  /// Adds a line that was written elsewhere.
  mutating func add(line: some Sequence<ByteBuffer>) {
    stow()
    pieces.append(contentsOf: line)
    pieces.append(ByteBuffer(integer: UInt8(ascii: "\n")))
  }

  /// Makes a piece of what is written, where it is much.
  mutating func stowIfMuch() {
    if writer.count > Self.pieceBytes { stow() }
  }

  private mutating func stow() {
    if writer.count == 0 { return }
    pieces.append(writer.takeAll())
    // What a large answer took is not kept for the next one.
    if writer.capacity > 4 * Self.pieceBytes { writer = JSONWriter() }
  }

  /// Takes the next piece, small ones together; nil where none waits.
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

  /// Takes what is written, where nothing comes before it.
  mutating func takeWritten() -> ByteBuffer? {
    pieces.isEmpty && writer.count > 0 ? writer.takeAll() : nil
  }

  mutating func removePieces() { pieces.removeAll() }
}

extension JSONWriter {
  /// Takes out what was written since the mark, as if it had not been.
  mutating func take(since mark: Mark) -> ByteBuffer {
    let taken = unsafe withBytes(since: mark) { unsafe ByteBuffer(bytes: $0) }
    rollBack(to: mark)
    return taken
  }

  /// Takes out all of it, which is the beginning of what is written next.
  mutating func takeAll() -> ByteBuffer {
    let taken = unsafe withBytes { unsafe ByteBuffer(bytes: $0) }
    removeBeginning()
    return taken
  }
}
