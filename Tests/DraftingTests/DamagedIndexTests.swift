import Drafting
import RepriseModel
import SuffixIndex
import TestSupport
import Testing

/// Drafting from images of any bytes ends, and gives valid drafts.
@Suite struct DamagedIndexTests {
  /// The first chunk of an image, damaged.
  @safe
  private final class DamagedImage {
    let byteCount: Int
    // SAFETY: both are allocated in `init` and freed in `deinit`.
    private let bytes: UnsafeMutableRawBufferPointer
    private let table: UnsafeMutablePointer<UnsafeRawPointer>

    init(_ buffer: SealedImageBuffer, using generator: inout SeededGenerator) {
      precondition(buffer.chunkCount == 1)
      byteCount = buffer.byteCount
      unsafe bytes = .allocate(byteCount: byteCount, alignment: 16)
      unsafe table = .allocate(capacity: 1)
      unsafe table.initialize(to: UnsafeRawPointer(bytes.baseAddress!))
      buffer.withChunk(0) { span in
        unsafe span.withUnsafeBytes { unsafe bytes.copyMemory(from: $0) }
      }
      let used = unsafe bytes.indices.last { unsafe bytes[$0] != 0 }! + 1
      for _ in 0..<Int.random(in: 1...8, using: &generator) {
        let start = Int.random(in: 64..<max(used, 65), using: &generator)
        let length = [1, 1, 4, 40, 300].randomElement(using: &generator)!
        let mask = UInt8.random(in: 1...255, using: &generator)
        for byte in start..<min(byteCount, start + length) { unsafe bytes[byte] ^= mask }
      }
    }

    deinit {
      unsafe bytes.deallocate()
      unsafe table.deallocate()
    }

    var image: SealedImage { unsafe SealedImage(chunks: table, byteCount: byteCount) }
  }

  @Test func draftsFromDamagedIndexesEnd() throws {
    var drafter = Drafter()
    var estimator = EstimateDrafter()
    var draft = Draft()
    var marked = 0
    let seeds = Effort.seeds(6000)
    for seed in seeds {
      var generator = SeededGenerator(seed: seed)
      let depth = Int.random(in: 2...16, using: &generator)
      let alphabet = Int32([2, 4, 40].randomElement(using: &generator)!)
      let sequences = (0..<3).map { _ in generator.tokens(count: 40, alphabet: alphabet) }
      // One index is sound and one is damaged, as in a corpus.
      let mark = DamageMark()
      var builder = SealedIndexBuilder(depth: depth)
      for sequence in sequences { builder.append(sequence.span) }
      let buffer = builder.build()
      let copy = DamagedImage(buffer, using: &generator)
      let damaged = try SealedIndex(copy.image, mark: mark)
      let growing = GrowingIndex(depth: depth)
      var tail = GrowingIndex.Tail()
      let first = sequences[0]
      growing.extend(&tail, by: first.span)
      var indexes: [AnyHistoryIndex] = [.sealed(damaged.reader), .growing(growing.reader)]
      if Bool.random(using: &generator) { indexes.removeLast() }
      let context =
        sequences[1].prefix(Int.random(in: 1...40, using: &generator))
        + generator.tokens(count: 2, alphabet: alphabet)
      for tree in [false, true] {
        let options = DraftOptions(
          maxTokens: 40, maxFactor: [0.5, 1, 4].randomElement(using: &generator)!,
          maxOffset: 2, minProbability: [0, 0.1, 1].randomElement(using: &generator)!, tree: tree)
        for end in [context.count - 2, context.count] where end > 0 {
          let part = Array(context.prefix(end))
          let matches = indexes.map { $0.match(part.span) }
          drafter.draft(from: indexes, matches: matches, options: options, into: &draft)
          #expect(draft.count <= 40 && draft.matchLength < depth)
          for (place, parent) in draft.parents.enumerated() { #expect(parent < place) }
          estimator.draft(
            from: [DraftHistory(.shared, indexes: indexes.indices)], indexes, matches: matches,
            options: options, into: &draft)
          #expect(draft.count <= 40 && draft.matchLength < depth && draft.score.isFinite)
          for (place, parent) in draft.parents.enumerated() { #expect(parent < place) }
        }
      }
      if mark.isSet { marked += 1 }
      withExtendedLifetime((growing, damaged, copy)) {}
    }
    #expect(marked > seeds.count / 6, "damage must be met to be noticed")
  }
}
