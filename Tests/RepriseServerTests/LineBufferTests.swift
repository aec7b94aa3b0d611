import NIOCore
import TestSupport
import Testing

@testable import RepriseServer

/// Lines are the bytes between newlines, however these were divided.
@Suite struct LineBufferTests {
  @Test(arguments: Effort.seeds(20)) func linesAreWhatWasSent(seed: UInt64) {
    var generator = SeededGenerator(seed: seed)
    let lines = (0..<30).map { _ -> [UInt8] in
      let most = [0, 10, 70_000, 400_000].randomElement(using: &generator)!
      let first = UInt8.random(in: 97...122, using: &generator)
      return (0..<Int.random(in: 0...most, using: &generator)).map { first &+ UInt8($0 % 5) }
    }
    var unsent = Array(lines.joined(separator: [10])) + [10]
    var buffer = LineBuffer()
    var received: [[UInt8]] = []
    while !unsent.isEmpty {
      let most = [1, 100, 1 << 16, 1 << 18].randomElement(using: &generator)!
      let piece = unsent.prefix(Int.random(in: 1...most, using: &generator))
      unsent.removeFirst(piece.count)
      buffer.append(ByteBuffer(bytes: piece))
      // Lines may wait while more bytes arrive.
      if Bool.random(using: &generator) && !unsent.isEmpty { continue }
      while let line = buffer.next() {
        #expect(line.count == line.joined().readableBytes)
        received.append(Array(line.joined().readableBytesView))
      }
      let sent = received.reduce(0) { $0 + $1.count + 1 }
      #expect(buffer.count == lines.reduce(0) { $0 + $1.count + 1 } - unsent.count - sent)
    }
    #expect(received == lines && buffer.count == 0, "seed \(seed)")
  }
}
