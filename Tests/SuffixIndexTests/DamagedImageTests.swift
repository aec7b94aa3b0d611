import Foundation
import TestSupport
import Testing

@testable import SuffixIndex

/// Images of any bytes: calls answer without a trap and in bounded time, and an image that passes
/// the check of structure answers like the oracle over its own text.
@Suite struct DamagedImageTests {
  /// Calls every operation. Returns a sentence on an answer that no image may give.
  private func drive(
    _ index: SealedIndex, along contexts: [[Int32]], using generator: inout SeededGenerator
  ) -> String? {
    let reader = index.reader
    let depth = index.depth
    for context in contexts {
      var cursor = reader.start
      for end in context.indices {
        reader.advance(&cursor, by: context[end])
        if cursor.length >= depth { return "a match of \(cursor.length) tokens" }
        if let wrong = driveBelow(reader, cursor, using: &generator) { return wrong }
        var shorter = cursor
        while shorter.length > 0 {
          let length = shorter.length
          if length > 1 {
            let lengthMin = UInt32.random(in: 1..<length, using: &generator)
            if let wider = reader.widened(shorter, lengthMin: lengthMin),
              wider.length < lengthMin || wider.length >= length || wider.count == 0
            {
              return "widened \(shorter) to \(wider)"
            }
            let suffix = reader.suffix(of: shorter, length: lengthMin)
            if suffix.length != lengthMin { return "suffix \(suffix) of \(shorter)" }
          }
          if shorter.count == 0 { return "\(shorter) never occurs" }
          reader.shorten(&shorter)
          if shorter.length != length - 1 { return "shortened \(length) to \(shorter)" }
        }
      }
      let match = reader.match(context.span)
      if match.length >= depth { return "a match of \(match.length) tokens" }
    }
    return nil
  }

  /// Goes down to full depth by random children.
  private func driveBelow(
    _ reader: SealedIndex.Reader, _ match: MatchCursor, using generator: inout SeededGenerator
  ) -> String? {
    var cursor = match
    var children: [ChildCursor] = []
    while cursor.length < reader.depth {
      children.removeAll(keepingCapacity: true)
      let countMin = Int.random(in: 1...2, using: &generator)
      let limit = [0, 1, 3, .max, .max].randomElement(using: &generator)!
      reader.appendChildren(of: cursor, countMin: countMin, limit: limit, to: &children)
      if children.count > limit || children.count > 2000 { return "\(children.count) children" }
      if let first = reader.firstChild(of: cursor) { children.append(first) }
      if children.contains(where: { $0.count == 0 || $0.cursor.length != cursor.length + 1 }) {
        return "children \(children) of \(cursor)"
      }
      guard let child = children.randomElement(using: &generator) else { return nil }
      if let found = reader.child(of: cursor, token: child.token),
        found.count == 0 || found.length != cursor.length + 1
      {
        return "child \(found) of \(cursor)"
      }
      cursor = child.cursor
    }
    return nil
  }

  /// Contexts that follow a history and leave it.
  private func contexts(
    _ shape: ImageShape, using generator: inout SeededGenerator
  ) -> [[Int32]] {
    let sequence = shape.sequences.randomElement(using: &generator) ?? []
    let start = Int.random(in: 0...sequence.count, using: &generator)
    let alphabet = Int32([2, 12, 90].randomElement(using: &generator)!)
    return [Array(sequence[start...].prefix(9)) + generator.tokens(count: 2, alphabet: alphabet)]
  }

  /// Opens, uses and checks one damaged image. Returns a sentence on what is wrong.
  private func judge(
    _ copy: ImageCopy, _ shape: ImageShape, using generator: inout SeededGenerator,
    passed: inout Int
  ) -> String? {
    guard let index = try? SealedIndex(copy.image) else { return nil }
    if let wrong = drive(
      index, along: contexts(shape, using: &generator), using: &generator)
    {
      return wrong
    }
    try? index.checkSamples(2, seed: generator.next())
    let isMarked = index.mark.isSet
    do {
      try index.checkStructure()
    } catch {
      _ = index.sequences
      return nil
    }
    passed += 1
    if isMarked { return "was marked, and passes the check" }
    let oracle = NGramOracle(depth: index.depth, sequences: index.sequences)
    if index.mark.isSet { return "was marked by the check that it passes" }
    let context = shape.sequences.joined().suffix(12) + generator.tokens(count: 3, alphabet: 9)
    if let difference = firstDifference(
      index.reader, oracle, context: Array(context), alphabet: 12)
    {
      return "passes the check; \(difference)"
    }
    do {
      try index.checkSamples(10, seed: 1)
    } catch {
      return "passes the check of structure; \(error)"
    }
    return index.mark.isSet ? "passes the check, and was marked then" : nil
  }

  /// Every byte that is not padding, and the first and last bytes of padding.
  @Test(arguments: ImageShape.allCases)
  func everyByteChangedIsNoticedOrAnswered(shape: ImageShape) throws {
    let copy = ImageCopy(shape.build())
    var generator = SeededGenerator(seed: 1)
    var passed = 0
    let used = (0..<copy.byteCount).last { copy[$0] != 0 }! + 40
    for byte in Array(0..<min(used, copy.byteCount)) + [copy.byteCount - 1] {
      for pattern: UInt8 in [0x01, 0x02, 0x08, 0x40, 0x80, 0xFF] {
        copy[byte] ^= pattern
        if let wrong = judge(copy, shape, using: &generator, passed: &passed) {
          Issue.record("\(shape), byte \(byte) ^ \(pattern): \(wrong)")
          return
        }
        copy[byte] ^= pattern
      }
    }
    #expect(passed < used / 4, "most changes are noticed")
  }

  @Test(arguments: ImageShape.allCases) func randomDamageIsNoticedOrAnswered(shape: ImageShape) {
    let buffer = shape.build()
    let clean = ImageCopy(buffer)
    let used = (0..<clean.byteCount).last { clean[$0] != 0 }! + 8
    var passed = 0
    for seed in Effort.seeds(3000) {
      var generator = SeededGenerator(seed: seed)
      let copy = ImageCopy(buffer)
      // Usually behind the header, so that most images are opened.
      let first = Int.random(in: 0..<8, using: &generator) == 0 ? 8 : 64
      let fill = [nil, 0, 0xFF].randomElement(using: &generator)!
      for _ in 0..<Int.random(in: 1...6, using: &generator) {
        let start = Int.random(in: first..<max(used, first + 1), using: &generator)
        let length = [1, 1, 2, 8, 64, 600].randomElement(using: &generator)!
        for byte in start..<min(copy.byteCount, start + length) {
          copy[byte] = fill.map { UInt8($0) } ?? UInt8.random(in: 0...255, using: &generator)
        }
      }
      if let wrong = judge(copy, shape, using: &generator, passed: &passed) {
        Issue.record("\(shape), seed \(seed): \(wrong)")
        return
      }
    }
  }

  /// Records that are valid individually, but not in this order.
  @Test(arguments: ImageShape.allCases)
  func exchangedRecordsAreNoticedOrAnswered(shape: ImageShape) throws {
    let copy = ImageCopy(shape.build())
    let layout = try SealedIndex(copy.image).withCore { $0.layout }
    var generator = SeededGenerator(seed: 2)
    var passed = 0
    func exchange(_ run: SealedImage.Run, _ record: Int, _ other: Int) {
      for bit in 0..<run.bits {
        let (one, two) = (
          8 * run.offset + record * run.bits + bit, 8 * run.offset + other * run.bits + bit
        )
        (copy[bit: one], copy[bit: two]) = (copy[bit: two], copy[bit: one])
      }
    }
    for run in [layout.text, layout.suffixes, layout.nodes, layout.largeCounts, layout.hash] {
      for record in 0..<max(0, run.count - 1) {
        for other in [record + 1, Int.random(in: 0..<run.count, using: &generator)] {
          exchange(run, record, other)
          if let wrong = judge(copy, shape, using: &generator, passed: &passed) {
            Issue.record("\(shape), records \(record), \(other) at \(run.offset): \(wrong)")
            return
          }
          exchange(run, record, other)
        }
      }
    }
  }

  /// Any header is refused, or the image can be used.
  @Test(arguments: ImageShape.allCases) func anyHeaderIsRefusedOrAnswered(shape: ImageShape) {
    let copy = ImageCopy(shape.build())
    var generator = SeededGenerator(seed: 3)
    let offsets = Array(stride(from: 12, to: 48, by: 4))
    var passed = 0
    func values(_ word: UInt32) -> [UInt32] {
      [0, 1, 2, 31, 32, 33, 127, 128, word &- 1, word &+ 1, word &* 2, 1 << 30, 1 << 30 + 1]
        + [1 << 31 - 1, 1 << 31, .max - 1, .max]
    }
    for (place, offset) in offsets.enumerated() {
      let word = copy[word: offset]
      for value in values(word) {
        copy[word: offset] = value
        if let wrong = judge(copy, shape, using: &generator, passed: &passed) {
          Issue.record("\(shape), word \(offset) is \(value): \(wrong)")
          return
        }
        for other in offsets[(place + 1)...] {
          let otherWord = copy[word: other]
          for otherValue in values(otherWord) {
            copy[word: other] = otherValue
            if let wrong = judge(copy, shape, using: &generator, passed: &passed) {
              Issue.record("\(shape), \(offset) is \(value), \(other) \(otherValue): \(wrong)")
              return
            }
          }
          copy[word: other] = otherWord
        }
      }
      copy[word: offset] = word
    }
  }

  /// A run of children or ranks that a damaged record makes as long as the image still ends.
  @Test func listsOfADamagedNodeEnd() throws {
    var generator = SeededGenerator(seed: 8)
    let text = (0..<60_000).map { _ in Int32.random(in: 0..<300, using: &generator) }
    var builder = SealedIndexBuilder(depth: 8)
    builder.append(text.span)
    let buffer = builder.build()
    let copy = ImageCopy(buffer)
    let clean = try SealedIndex(buffer.image)
    let nodes = clean.withCore { $0.layout.nodes }
    for fill in [0, 0xFF, 0x55] as [UInt8] {
      for byte in nodes.offset..<nodes.end { copy[byte] = fill }
      let index = try SealedIndex(copy.image)
      for seed in 0..<20 as Range<UInt64> {
        var generator = SeededGenerator(seed: seed)
        let wrong = drive(
          index, along: [Array(text[Int(seed)...].prefix(12))], using: &generator)
        #expect(wrong == nil)
      }
      #expect(index.mark.isSet || fill == 0x55)
      #expect(throws: SealedIndex.CheckError.self) { try index.checkStructure() }
    }
  }

  /// A node that exceeds a bound of its lists is noticed.
  @Test func aNodeWithMoreThanItCanHaveIsNoticed() throws {
    let buffer = ImageShape.wide.build()
    let layout = try SealedIndex(buffer.image).withCore { $0.layout }
    func isMarked(
      _ value: UInt32, _ node: Int, _ field: SealedImage.Field,
      by read: (SealedIndex.Reader) -> Void
    ) throws -> Bool {
      let copy = ImageCopy(buffer)
      let bit = 8 * layout.nodes.offset + node * layout.nodes.bits + field.shift
      for place in 0..<field.bits { copy[bit: bit + place] = value >> UInt32(place) & 1 == 1 }
      let index = try SealedIndex(copy.image)
      read(index.reader)
      return withExtendedLifetime(copy) { index.mark.isSet }
    }
    func list(_ pattern: [Int32]) -> (SealedIndex.Reader) -> Void {
      { reader in
        let match = pattern.reduce(into: reader.start) { cursor, token in
          cursor = reader.child(of: cursor, token: token) ?? cursor
        }
        var children: [ChildCursor] = []
        reader.appendChildren(of: match, countMin: 1, limit: .max, to: &children)
      }
    }
    let root = try SealedIndex(buffer.image).withCore { $0.node(0) }
    #expect(try !isMarked(root.firstChild, 0, layout.firstChild, by: list([])))
    // The root has more children than are scanned one by one.
    #expect(try isMarked(0, 0, layout.isHashed, by: list([])))
    // Children that occur more often than their parent.
    #expect(try isMarked(3, 0, layout.count, by: list([])))
    // Children that are no nodes behind it.
    #expect(try isMarked(0, 0, layout.firstChild, by: list([])))
  }

  /// The ends of chunks repeat the next bytes, and are read.
  @Test func damageWhereChunksOverlapIsFound() throws {
    var builder = SealedIndexBuilder(depth: 8)
    var generator = SeededGenerator(seed: 4)
    builder.append(generator.tokens(count: 130_000, alphabet: 3000).span)
    let buffer = builder.build()
    #expect(buffer.chunkCount > 1)
    let copy = ImageCopy(buffer)
    try SealedIndex(copy.image).checkStructure()
    let last = copy.byteCount(ofChunk: 0) - 1
    copy[last, chunk: 0] ^= 4
    #expect(
      throws: SealedIndex.CheckError.damaged(
        .chunkOverlap(0), problem: "is not the beginning of the next")
    ) { try SealedIndex(copy.image).checkStructure() }
  }

  /// Indexes that share a mark are marked together, and reading sound bytes never sets it.
  @Test func aMarkIsShared() throws {
    let mark = DamageMark()
    let sound = ImageCopy(ImageShape.random.build())
    let damaged = ImageCopy(ImageShape.random.build())
    let one = try SealedIndex(sound.image, mark: mark)
    let nodes = one.withCore { $0.layout.nodes }
    for byte in nodes.offset..<nodes.end { damaged[byte] = 0xFF }
    let other = try SealedIndex(damaged.image, mark: mark)
    var generator = SeededGenerator(seed: 5)
    #expect(drive(one, along: ImageShape.random.sequences, using: &generator) == nil)
    #expect(!mark.isSet)
    #expect(drive(other, along: ImageShape.random.sequences, using: &generator) == nil)
    #expect(mark.isSet && one.mark.isSet)
  }
}
