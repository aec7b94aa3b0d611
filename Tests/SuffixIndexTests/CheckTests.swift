import TestSupport
import Testing

@testable import SuffixIndex

/// The results of checks on sound images, and their names for damage.
@Suite struct CheckTests {
  private func check(_ fixture: SealedFixture) throws {
    let index = fixture.index
    try index.checkStructure()
    try index.checkAgainstRebuild()
    try index.checkSamples(50, seed: 7)
    #expect(!index.mark.isSet)
  }

  @Test func soundImagesPass() throws {
    for shape in ImageShape.allCases {
      try check(SealedFixture(shape.sequences, depth: shape.depth))
    }
    for seed in Effort.seeds(400, atLeast: 100) {
      var generator = SeededGenerator(seed: seed)
      let depth = Int.random(in: 2...20, using: &generator)
      let alphabet = Int32([1, 2, 5, 30, 60, 50_000].randomElement(using: &generator)!)
      let sequences = (0..<Int.random(in: 0...5, using: &generator)).map { _ in
        generator.tokens(count: Int.random(in: 0...90, using: &generator), alphabet: alphabet)
      }
      do {
        try check(SealedFixture(sequences, depth: depth))
      } catch {
        Issue.record("seed \(seed), depth \(depth), \(sequences): \(error)")
        return
      }
    }
  }

  @Test(arguments: HostileTextTests.texts().map(\.name))
  func imagesOfHostileTextPass(name: String) throws {
    let text = HostileTextTests.texts().first { $0.name == name }!.tokens
    try check(SealedFixture([text], depth: 64))
  }

  /// The same sequences give the same bytes, with either way of sorting.
  @Test func buildingIsDeterministic() throws {
    for count in [500, 40_000] {
      var generator = SeededGenerator(seed: 2)
      let text = generator.tokens(count: count, alphabet: 50)
      let (one, other) = try (SealedFixture([text], depth: 9), SealedFixture([text], depth: 9))
      #expect(one.buffer.byteCount == other.buffer.byteCount)
      for chunk in 0..<one.buffer.chunkCount {
        #expect(bytes(one.buffer, chunk) == bytes(other.buffer, chunk))
      }
    }
  }

  private func bytes(_ buffer: SealedImageBuffer, _ chunk: Int) -> [UInt8] {
    buffer.withChunk(chunk) { span in unsafe span.withUnsafeBytes { unsafe Array($0) } }
  }

  @Test func damageIsNamed() throws {
    let buffer = ImageShape.wide.build()
    let layout = try SealedIndex(buffer.image).withCore { $0.layout }
    func error(
      _ run: SealedImage.Run, _ index: Int, _ field: SealedImage.Field
    ) throws -> SealedIndex.CheckError? {
      var found: SealedIndex.CheckError?
      let copy = ImageCopy(buffer)
      let bit = 8 * run.offset + index * run.bits + field.shift
      copy[bit / 8] ^= 1 << UInt8(bit % 8)
      let index = try SealedIndex(copy.image)
      do throws(SealedIndex.CheckError) {
        try index.checkStructure()
      } catch {
        found = error
      }
      return found
    }
    let node = layout.nodes.count - 2
    let link = try SealedIndex(buffer.image).withCore { $0.node(UInt32(node)).link }
    #expect(
      try error(layout.nodes, node, layout.link)?.description.hasPrefix(
        "node \(node) has ") == true)
    #expect(
      try error(layout.nodes, node, layout.link)?.description.contains("link \(link ^ 1)") == true)
    #expect(try error(layout.suffixes, 3, layout.suffixPosition) != nil)
    #expect(
      try error(layout.text, 1, layout.repeated)?.description.hasPrefix("text position 1 is said")
        == true)
    #expect(
      try error(layout.nodes, 0, layout.isHashed)?.description
        .hasSuffix("children, not in the hash") == true)
    #expect(
      try error(layout.nodes, 0, layout.hasEnd)?.description
        == "node 0 says that a sequence ends with its pattern")
  }

  @Test func checksCanBeCancelled() throws {
    let fixture = try SealedFixture([[1, 2, 3, 1, 2]], depth: 4)
    #expect(throws: SealedIndex.CheckError.cancelled) {
      try fixture.index.checkStructure { true }
    }
    #expect(throws: SealedIndex.CheckError.cancelled) {
      try fixture.index.checkAgainstRebuild { true }
    }
  }

  /// If it is cancelled at any question, building ends at the next one.
  @Test func buildingCanBeCancelledAnywhere() {
    var generator = SeededGenerator(seed: 6)
    let text = generator.tokens(count: 40_000, alphabet: 700)
    func questions(untilCancelled limit: Int) -> (asked: Int, isBuilt: Bool) {
      var asked = 0
      var builder = SealedIndexBuilder(depth: 12)
      builder.append(text.span)
      let built = try? builder.build {
        asked += 1
        return asked > limit
      }
      return (asked, built != nil)
    }
    let all = questions(untilCancelled: .max)
    #expect(all.isBuilt && all.asked > 30)
    for limit in 0..<all.asked {
      let cancelled = questions(untilCancelled: limit)
      #expect(!cancelled.isBuilt && cancelled.asked == limit + 1)
    }
  }

  /// The text can be read with any bytes in the rest of the image.
  @Test func textIsReadWithoutTheHeader() throws {
    for shape in ImageShape.allCases {
      let buffer = shape.build()
      let copy = ImageCopy(buffer)
      let end = SealedLayout.textRun(tokens: buffer.textTokens, tokenBits: buffer.tokenBits).end
      for byte in Array(0..<64) + Array(end..<copy.byteCount) { copy[byte] = 0xEE }
      let text = try SealedText(
        copy.image, textTokens: buffer.textTokens, tokenBits: buffer.tokenBits)
      var read: [[Int32]] = []
      let left = text.forEachSequence { index, tokens in
        #expect(index == read.count)
        read.append(tokens.indices.map { tokens[$0] })
        return true
      }
      #expect(read == shape.sequences && left == 0)
      var calls = 0
      text.forEachSequence { _, _ in
        calls += 1
        return calls < 2
      }
      #expect(calls == min(2, shape.sequences.count))
      // Any bytes.
      for byte in 64..<copy.byteCount { copy[byte] = UInt8(truncatingIfNeeded: byte &* 37) }
      var tokens = 0
      let rest = text.forEachSequence { _, sequence in
        tokens += sequence.count + 1
        return true
      }
      #expect(tokens + rest == buffer.textTokens)
    }
  }

  @Test func aTextThatCannotBeThereIsRefused() throws {
    let image = ImageShape.random.build()
    for (tokens, bits) in [(-1, 3), (1 << 30 + 1, 3), (5, 0), (5, 32), (.max, .max), (.min, 1)] {
      #expect(throws: SealedIndex.FormatError.notASealedIndex) {
        try SealedText(image.image, textTokens: tokens, tokenBits: bits)
      }
    }
    #expect(throws: SealedIndex.FormatError.size(bytes: 4096, expectedBytes: 64 + 15000 + 32)) {
      try SealedText(image.image, textTokens: 12000, tokenBits: 3)
    }
    #expect(throws: Never.self) {
      try SealedText(image.image, textTokens: 3200, tokenBits: 3)
    }
  }
}
