import SuffixIndex
import TestSupport
import Testing

/// Text that is hard on purpose: finishing at all shows that the work is bounded (each case takes
/// seconds in a debug build if cost is bounded by depth, hours if it is not), and answers are
/// checked where they are known.
@Suite struct HostileTextTests {
  static let length = 50_000
  static let depth = 64

  static func fibonacciWord(count: Int) -> [Int32] {
    var (previous, word): ([Int32], [Int32]) = ([0], [0, 1])
    while word.count < count { (previous, word) = (word, word + previous) }
    return Array(word.prefix(count))
  }

  static func texts() -> [(name: String, tokens: [Int32])] {
    var generator = SeededGenerator(seed: 5)
    let page = generator.tokens(count: 500, alphabet: 1000)
    return [
      ("one token", [Int32](repeating: 7, count: length)),
      ("Fibonacci word", fibonacciWord(count: length)),
      ("two tokens in turn", (0..<length).map { Int32($0 % 2) }),
      (
        "two tokens at random", (0..<length).map { _ in Int32.random(in: 0...1, using: &generator) }
      ),
      ("a page repeated", (0..<length).map { page[$0 % page.count] }),
      ("all different", (0..<length).map { Int32($0) }),
    ]
  }

  /// Compares the counts of sampled patterns with a plain scan of the text.
  @Test(arguments: texts().map(\.name)) func bothIndexesCountAsAScanDoes(name: String) throws {
    let text = Self.texts().first { $0.name == name }!.tokens
    let growing = grown([text], depth: Self.depth)
    let sealed = try SealedFixture([text], depth: Self.depth)
    var generator = SeededGenerator(seed: 11)
    for _ in 0..<20 {
      let length = Int.random(in: 1..<Self.depth, using: &generator)
      let start = Int.random(in: 0..<(text.count - length), using: &generator)
      let pattern = Array(text[start..<(start + length)])
      let expected = (0...(text.count - length)).count { at in
        text[at] == pattern[0] && text[at..<(at + length)].elementsEqual(pattern)
      }
      for match in [growing.reader.match(pattern.span), sealed.index.reader.match(pattern.span)] {
        #expect(Int(match.length) == length)
        #expect(Int(match.count) == expected)
      }
    }
  }

  @Test func emptyAndTinyInputs() throws {
    for sequences: [[Int32]] in [[], [[5]], [[], [5], []], [[Int32.max - 1], [Int32.max - 1]]] {
      let fixture = try SealedFixture(sequences, depth: 3)
      let oracle = NGramOracle(depth: 3, sequences: sequences)
      #expect(
        firstDifference(fixture.index.reader, oracle, context: [5, 5], alphabet: 6) == nil)
      #expect(fixture.index.tokenCount == sequences.joined().count)
      var read: [[Int32]] = []
      fixture.index.forEachSequence { _, tokens in read.append(tokens.indices.map { tokens[$0] }) }
      #expect(read == sequences)
    }
  }

  @Test func damagedHeadersAreRefused() throws {
    let fixture = try SealedFixture([[1, 2, 3]], depth: 3)
    var bytes = fixture.buffer.withChunk(0) { span in
      (0..<span.byteCount).map { span.unsafeLoadByte($0) }
    }
    func open(_ bytes: [UInt8]) throws -> SealedIndex {
      // Aligned to 16 bytes like the store's chunks.
      let memory = UnsafeMutableRawPointer.allocate(byteCount: bytes.count + 1, alignment: 16)
      let table = UnsafeMutablePointer<UnsafeRawPointer>.allocate(capacity: 1)
      defer {
        unsafe memory.deallocate()
        unsafe table.deallocate()
      }
      for (offset, byte) in bytes.enumerated() {
        unsafe memory.storeBytes(of: byte, toByteOffset: offset, as: UInt8.self)
      }
      unsafe table.initialize(to: UnsafeRawPointer(memory))
      return try SealedIndex(unsafe SealedImage(chunks: table, byteCount: bytes.count))
    }
    #expect(throws: Never.self) { try open(bytes) }
    #expect(throws: SealedIndex.FormatError.notASealedIndex) { try open([]) }
    #expect(
      throws: SealedIndex.FormatError.size(bytes: bytes.count - 1, expectedBytes: bytes.count)
    ) { try open(bytes.dropLast()) }
    bytes[8] = 9
    #expect(throws: SealedIndex.FormatError.version(found: 9, expected: 2)) { try open(bytes) }
    bytes[0] = 0
    #expect(throws: SealedIndex.FormatError.notASealedIndex) { try open(bytes) }
  }
}

extension RawSpan {
  fileprivate func unsafeLoadByte(_ offset: Int) -> UInt8 {
    unsafe unsafeLoadUnaligned(fromByteOffset: offset, as: UInt8.self)
  }
}
