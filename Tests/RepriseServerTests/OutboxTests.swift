import NIOCore
import TestSupport
import Testing
import WireProtocol

@testable import RepriseServer

/// Answers leave in their order and in small pieces, however they are written and taken.
@Suite struct OutboxTests {
  @Test(arguments: Effort.seeds(20)) func answersLeaveInTheirOrder(seed: UInt64) {
    var generator = SeededGenerator(seed: seed)
    var outbox = Outbox()
    var expected: [UInt8] = []
    var taken: [UInt8] = []
    func take(_ piece: ByteBuffer?) {
      guard let piece else { return }
      #expect(piece.readableBytes > 0 && piece.readableBytes <= Outbox.pieceBytes)
      taken += Array(piece.readableBytesView)
    }
    for _ in 0..<300 {
      switch Int.random(in: 0..<6, using: &generator) {
      case 0, 1:
        let number = Int.random(in: 0..<1_000_000, using: &generator)
        outbox.writer.integer(number)
        outbox.writer.endLine()
        expected += Array("\(number)\n".utf8)
      case 2:
        let count = Int.random(in: 0..<200_000, using: &generator)
        outbox.writer.string(String(repeating: "a", count: count))
        outbox.writer.endLine()
        expected += Array("\"\(String(repeating: "a", count: count))\"\n".utf8)
      case 3:
        let pieces = (0..<Int.random(in: 1..<8, using: &generator)).map { _ in
          ByteBuffer(repeating: 65, count: Int.random(in: 1..<100_000, using: &generator))
        }
        outbox.add(line: pieces)
        expected += pieces.flatMap { Array($0.readableBytesView) } + [UInt8(ascii: "\n")]
      case 4: take(outbox.nextPiece())
      default:
        outbox.stowIfMuch()
        take(outbox.takeWritten())
      }
    }
    outbox.stowIfMuch()
    while outbox.hasPieces { take(outbox.nextPiece()) }
    take(outbox.takeWritten())
    #expect(taken == expected)
  }

  /// Bytes that are removed while JSON is being written are the beginning of the following ones.
  @Test func aTextIsTakenOutInParts() {
    var whole = JSONWriter()
    var inParts = JSONWriter()
    var taken: [UInt8] = []
    whole.beginArray()
    inParts.beginArray()
    for number in 0..<100 {
      whole.number(Float(number / 3) / 7)
      inParts.number(Float(number / 3) / 7)
      if number % 5 == 0 { taken += Array(inParts.takeAll().readableBytesView) }
    }
    whole.endArray()
    inParts.endArray()
    taken += Array(inParts.takeAll().readableBytesView)
    #expect(taken == whole.bytes)
  }
}
